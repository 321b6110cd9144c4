//! The tiny model that the program carries: it is put where workflows find it, stands in for what they name, and draws what it is asked.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{Base, Redraft};
use image::RgbImage;
use serde_json::{Value as Json, json};

const SIDE: u32 = 128;

/// A base directory with the model in it, and a picture of one colour.
fn base() -> Base {
    let base = Base::new();
    Redraft::new().arg("tiny-model").arg("--base-directory").arg(base.root()).finish().expect_code(0);
    RgbImage::from_pixel(SIDE, SIDE, image::Rgb([20, 160, 60])).save(base.path("input/green.png")).unwrap();
    base
}

/// A graph with a checkpoint of that name, which is not there, a prompt, and what makes a picture of the latents of node 3.
fn graph(checkpoint: &str, prompt: &str, more: Json) -> Json {
    let text = |text: &str| json!({ "class_type": "CLIPTextEncode", "inputs": { "text": text, "clip": ["4", 1] } });
    let mut graph = json!({
        "4": { "class_type": "CheckpointLoaderSimple", "inputs": { "ckpt_name": checkpoint } },
        "6": text(prompt),
        "7": text(""),
        "8": { "class_type": "VAEDecode", "inputs": { "samples": ["3", 0], "vae": ["4", 2] } },
        "9": { "class_type": "SaveImage", "inputs": { "images": ["8", 0], "filename_prefix": "drawn" } },
    });
    let (Json::Object(graph_nodes), Json::Object(more)) = (&mut graph, more) else { unreachable!() };
    graph_nodes.extend(more);
    graph
}

/// A sampler of 12 steps.
fn sampler(conditioning: [Json; 2], latent: Json, denoise: f64) -> Json {
    let [positive, negative] = conditioning;
    json!({ "class_type": "KSampler", "inputs": {
        "model": ["4", 0], "positive": positive, "negative": negative, "latent_image": latent, "seed": 1, "steps": 12,
        "cfg": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": denoise,
    } })
}

/// The picture that a graph makes, and what is said meanwhile.
fn picture(base: &Base, graph: &Json) -> (RgbImage, String) {
    let done = base.run(&base.write_json("workflow.json", graph)).finish().expect_code(0);
    (image::open(Path::new(done.stdout.trim())).unwrap().to_rgb8(), done.stderr)
}

/// The picture of a prompt, under a model's name that is not there: from noise, or from the green picture.
fn drawn(base: &Base, prompt: &str, denoise: Option<f64>) -> RgbImage {
    let latent = match denoise {
        None => {
            json!({ "class_type": "EmptyLatentImage", "inputs": { "width": SIDE, "height": SIDE, "batch_size": 1 } })
        }
        Some(_) => json!({ "class_type": "VAEEncode", "inputs": { "pixels": ["1", 0], "vae": ["4", 2] } }),
    };
    let more = json!({
        "1": { "class_type": "LoadImage", "inputs": { "image": "green.png" } },
        "3": sampler([json!(["6", 0]), json!(["7", 0])], json!(["5", 0]), denoise.unwrap_or(1.0)),
        "5": latent,
    });
    let (picture, said) = picture(base, &graph("v1-5-pruned-emaonly-fp16.safetensors", prompt, more));
    assert!(said.contains("using redraft-tiny.safetensors in place of v1-5-pruned"), "{said}");
    picture
}

/// The mean red, green and blue of the middle, and of a frame of eight pixels.
fn middle_and_border(picture: &RgbImage) -> [[f64; 3]; 2] {
    let mean = |wanted: &dyn Fn(u32, u32) -> bool| {
        let (mut sum, mut count) = ([0.0; 3], 0.0);
        for (_, _, pixel) in picture.enumerate_pixels().filter(|(x, y, _)| wanted(*x, *y)) {
            (0..3).for_each(|i| sum[i] += f64::from(pixel.0[i]));
            count += 1.0;
        }
        sum.map(|sum| sum / count)
    };
    let near = |at: u32| !(8..SIDE - 8).contains(&at);
    let half = SIDE / 2;
    [mean(&|x, y| x.abs_diff(half) < 12 && y.abs_diff(half) < 12), mean(&|x, y| near(x) || near(y))]
}

/// Whether a colour is near another: within 60 of 255 in each part.
fn is(colour: [f64; 3], like: [f64; 3]) -> bool {
    colour.iter().zip(like).all(|(a, b)| (a - b).abs() < 60.0)
}

#[test]
fn colours_of_shape_and_background_are_those_of_the_prompt() {
    let base = base();
    for (prompt, shape, ground) in [
        ("a large red circle in the middle on a white background", [214.0, 40.0, 45.0], [245.0; 3]),
        ("a large yellow square in the middle on a blue background", [250.0, 220.0, 50.0], [40.0, 95.0, 210.0]),
        ("a large white circle in the middle on a black background", [245.0; 3], [25.0; 3]),
    ] {
        let found = middle_and_border(&drawn(&base, prompt, None));
        assert!(is(found[0], shape) && is(found[1], ground), "{prompt}: {found:?}");
    }
}

#[test]
fn image2image_keeps_less_of_the_draft_the_more_it_is_denoised() {
    let base = base();
    let green = [20.0, 160.0, 60.0];
    let border = |denoise| middle_and_border(&drawn(&base, "a white circle on a red background", Some(denoise)))[1];
    let far = |colour: [f64; 3]| colour.iter().zip(green).map(|(a, b)| (a - b).abs()).sum::<f64>();
    let distances = [0.05, 0.4, 0.9].map(|denoise| far(border(denoise)));
    assert!(distances[0] < 60.0 && distances[2] > 200.0, "{distances:?}");
    assert!(distances.is_sorted(), "{distances:?}");
}

/// The mean colour of a square of 24 pixels about a point.
fn colour_at(picture: &RgbImage, (x, y): (u32, u32)) -> [f64; 3] {
    let square = image::imageops::crop_imm(picture, x - 12, y - 12, 24, 24).to_image();
    let mut sum = [0.0; 3];
    square.pixels().for_each(|pixel| (0..3).for_each(|i| sum[i] += f64::from(pixel.0[i])));
    sum.map(|sum| sum / f64::from(square.width() * square.height()))
}

#[test]
fn inpainting_paints_what_the_mask_says_and_keeps_the_rest() {
    let base = base();
    let solid = |value: f64, width: u32| json!({ "class_type": "SolidMask", "inputs": { "value": value, "width": width, "height": SIDE } });
    let more = json!({
        "1": { "class_type": "LoadImage", "inputs": { "image": "green.png" } },
        "3": sampler([json!(["5", 0]), json!(["5", 1])], json!(["5", 2]), 1.0),
        "5": { "class_type": "InpaintModelConditioning", "inputs": { "positive": ["6", 0], "negative": ["7", 0], "vae": ["4", 2],
            "pixels": ["1", 0], "mask": ["m", 0], "noise_mask": true } },
        "all": solid(0.0, SIDE),
        "half": solid(1.0, SIDE / 2),
        "m": { "class_type": "MaskComposite", "inputs": { "destination": ["all", 0], "source": ["half", 0], "x": SIDE / 2, "y": 0,
            "operation": "add" } },
    });
    let graph = graph("sd-v1-5-inpainting.ckpt", "a white circle on a green background", more);
    let (picture, said) = picture(&base, &graph);
    assert!(said.contains("using redraft-tiny-inpainting.safetensors in place of sd-v1-5-inpainting.ckpt"), "{said}");
    let green = [20.0, 160.0, 60.0];
    for y in [24, 64, 104] {
        assert!(is(colour_at(&picture, (24, y)), green), "{:?}", colour_at(&picture, (24, y)));
    }
    let white = picture.enumerate_pixels().filter(|(_, _, pixel)| pixel.0.iter().all(|&v| v > 200));
    let (left, right): (Vec<_>, Vec<_>) = white.partition(|(x, ..)| *x < SIDE / 2);
    assert!(left.len() < 40 && right.len() > 400, "{} and {}", left.len(), right.len());
}

#[test]
fn it_is_written_once_and_never_over_another_file() {
    let base = base();
    let again = |base: &Base| Redraft::new().arg("tiny-model").arg("--base-directory").arg(base.root()).finish();
    let done = again(&base).expect_code(0);
    assert_eq!(done.stdout.matches("(is there already)").count(), 6, "{}", done.stdout);
    base.write("substitutes.toml", "[checkpoints]\n");
    let done = again(&base);
    assert!(done.stderr.contains("substitutes.toml: is another file already"), "{}", done.stderr);
    assert_eq!((done.code, std::fs::read(base.path("substitutes.toml")).unwrap().len()), (Some(2), 14));
}
