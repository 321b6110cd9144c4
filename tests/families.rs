//! Families of models beyond Stable Diffusion 1.x, by the command: random weights in their layouts, and files that do not belong together.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Base, Redraft};
use serde_json::{Value as Json, json};

/// A checkpoint of a kind, with random weights.
fn checkpoint(base: &Base, kind: &str) -> String {
    let name = format!("{kind}.safetensors");
    let path = base.path("models/checkpoints").join(&name);
    Redraft::new().args(["random-checkpoint", "--kind", kind, "--size", "tiny"]).arg(path).finish().expect_code(0);
    name
}

/// Text to picture, 64 x 64, two steps.
fn text2image(checkpoint: &str, latent: &str) -> Json {
    json!({
        "1": { "class_type": "CheckpointLoaderSimple", "inputs": { "ckpt_name": checkpoint } },
        "2": { "class_type": "CLIPTextEncode", "inputs": { "text": "a (red:1.2) ball", "clip": ["1", 1] } },
        "3": { "class_type": "CLIPTextEncode", "inputs": { "text": "", "clip": ["1", 1] } },
        "4": { "class_type": latent, "inputs": { "width": 64, "height": 64, "batch_size": 1 } },
        "5": { "class_type": "KSampler", "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0], "seed": 1, "steps": 2, "cfg": 1.0,
            "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0,
        } },
        "6": { "class_type": "VAEDecode", "inputs": { "samples": ["5", 0], "vae": ["1", 2] } },
        "7": { "class_type": "SaveImage", "inputs": { "images": ["6", 0], "filename_prefix": "made" } },
    })
}

#[test]
fn a_flux_checkpoint_in_one_file_draws() {
    let base = Base::new();
    let name = checkpoint(&base, "flux");
    // A latent of four channels that is empty is made to fit.
    for latent in ["EmptySD3LatentImage", "EmptyLatentImage"] {
        let file = base.write_json("workflow.json", &text2image(&name, latent));
        base.run(&file).finish().expect_code(0);
    }
    let outputs = base.outputs();
    assert_eq!(outputs, ["made_00001_.png", "made_00002_.png"]);
    let pictures: Vec<_> = outputs.iter().map(|name| image::open(base.path("output").join(name)).unwrap()).collect();
    assert_eq!((pictures[0].width(), pictures[0].height()), (64, 64));
    assert!(pictures[0].as_bytes().iter().any(|byte| *byte != pictures[0].as_bytes()[0]), "it is of one colour");
    assert_eq!(pictures[0].as_bytes(), pictures[1].as_bytes());
}

#[test]
fn a_wan_checkpoint_in_one_file_makes_the_frames_of_a_film() {
    let base = Base::new();
    let name = checkpoint(&base, "wan");
    let mut film = text2image(&name, "EmptyHunyuanLatentVideo");
    film["4"]["inputs"]["length"] = json!(5);
    // A prompt that brings a picture is none to a model that makes videos of text alone; a mask is one of the frames.
    film["8"] = json!({ "class_type": "LoadImage", "inputs": { "image": common::PICTURE } });
    let control = json!({
        "positive": ["2", 0], "negative": ["3", 0], "vae": ["1", 2], "width": 64, "height": 64, "length": 5, "batch_size": 1,
        "start_image": ["8", 0],
    });
    film["9"] = json!({ "class_type": "WanImageToVideo", "inputs": control });
    film["10"] = json!({ "class_type": "SetLatentNoiseMask", "inputs": { "samples": ["9", 2], "mask": ["8", 1] } });
    film["5"]["inputs"]["positive"] = json!(["9", 0]);
    film["5"]["inputs"]["latent_image"] = json!(["10", 0]);
    base.run(&base.write_json("workflow.json", &film)).finish().expect_code(0);
    assert_eq!(base.outputs().len(), 5);
    // One frame, from a latent for pictures.
    base.run(&base.write_json("workflow.json", &text2image(&name, "EmptySD3LatentImage"))).finish().expect_code(0);
    assert_eq!(base.outputs().len(), 6);
    // A VAE for pictures cannot encode the frames.
    let mut mixed = film.clone();
    mixed["11"] = json!({ "class_type": "CheckpointLoaderSimple", "inputs": { "ckpt_name": common::CHECKPOINT } });
    mixed["9"]["inputs"]["vae"] = json!(["11", 2]);
    refused(&base, &mixed, 1, &["latents of 4 channels for pictures", "load Wan's"]);
    // A picture's latent of another family, which is not empty, and a video's latent in a VAE's place that has none.
    let mut mixed = text2image(common::CHECKPOINT, "EmptyLatentImage");
    mixed["11"] = json!({ "class_type": "CheckpointLoaderSimple", "inputs": { "ckpt_name": name } });
    mixed["6"]["inputs"]["vae"] = json!(["11", 2]);
    refused(&base, &mixed, 1, &["16 channels, frames, height and width"]);
}

#[test]
fn qwen_image_goes_by_the_picture_in_its_prompt() {
    let base = Base::new();
    let name = checkpoint(&base, "qwen-image");
    let mut workflow = text2image(&name, "EmptySD3LatentImage");
    workflow["8"] = json!({ "class_type": "LoadImage", "inputs": { "image": common::PICTURE } });
    workflow["2"] = json!({ "class_type": "TextEncodeQwenImageEditPlus", "inputs": {
        "clip": ["1", 1], "prompt": "make Picture 2 blue", "image2": ["8", 0],
    } });
    let run = |workflow: &Json| {
        let file = base.write_json("workflow.json", workflow);
        base.run(&file).finish().expect_code(0);
        let made = base.outputs().last().unwrap().clone();
        image::open(base.path("output").join(made)).unwrap()
    };
    let seen = run(&workflow);
    assert_eq!((seen.width(), seen.height()), (64, 64));
    let mut other = workflow.clone();
    other["2"]["inputs"]["image2"] = json!(["9", 0]);
    other["9"] = json!({ "class_type": "ImageInvert", "inputs": { "image": ["8", 0] } });
    assert_ne!(run(&other).as_bytes(), seen.as_bytes(), "the text encoder did not look at the picture");
    let mut other = workflow.clone();
    other["9"] = json!({ "class_type": "VAEEncode", "inputs": { "pixels": ["8", 0], "vae": ["1", 2] } });
    other["10"] =
        json!({ "class_type": "ReferenceLatent", "inputs": { "conditioning": ["2", 0], "latent": ["9", 0] } });
    other["5"]["inputs"]["positive"] = json!(["10", 0]);
    assert_ne!(run(&other).as_bytes(), seen.as_bytes(), "the model did not go by the latent");
    // A file of the language model alone.
    let path = base.path("models/checkpoints").join(&name);
    let mut tensors = common::tensors::Tensors::read(&path);
    tensors.0.retain(|name, _| !name.contains(".visual."));
    tensors.write(&path);
    refused(&base, &workflow, 1, &["TextEncodeQwenImageEditPlus", "has no vision tower", "use a file of Qwen 2.5-VL"]);
}

/// What a workflow ends with that mixes families: the exit code, and words of the message.
#[track_caller]
fn refused(base: &Base, workflow: &Json, code: i32, words: &[&str]) {
    let file = base.write_json("workflow.json", workflow);
    let done = base.run(&file).finish().expect_code(code);
    for word in words {
        assert!(done.stderr.contains(word), "{word:?} is missing in: {}", done.stderr);
    }
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
}

/// Half of a tiny VAE is none, and the vocabulary that a text encoder needs may be missing: both are said before much is done.
#[test]
fn what_lies_in_several_files_is_missed_by_name() {
    let base = Base::new();
    let chroma = checkpoint(&base, "chroma");
    let mut workflow = text2image(&chroma, "EmptySD3LatentImage");
    base.run(&base.write_json("workflow.json", &workflow)).finish().expect_code(0);
    assert_eq!(base.outputs().len(), 1);
    workflow["8"] = json!({ "class_type": "VAELoader", "inputs": { "vae_name": "taef1" } });
    workflow["6"]["inputs"]["vae"] = json!(["8", 0]);
    base.write("models/vae_approx/taef1_decoder.safetensors", b"");
    refused(&base, &workflow, 3, &["taef1"]);
    let mut pixels = workflow.clone();
    pixels["8"]["inputs"]["vae_name"] = json!("pixel_space");
    refused(&base, &pixels, 1, &["this VAE decodes batch, 3 channels, height and width"]);
    let hunyuan = checkpoint(&base, "hunyuan-video");
    let mut film = text2image(&hunyuan, "EmptyHunyuanLatentVideo");
    film["4"]["inputs"]["length"] = json!(5);
    let words =
        ["warning: ", "Llama 3's vocabulary is not there", "models/llama_tokenizer/tokenizer.json", "CLIPTextEncode"];
    refused(&base, &film, 3, &words);
    // What lies beside the weights, or in a folder above, is none of the user's.
    base.write("models/checkpoints/llama_tokenizer/tokenizer.json", b"{}");
    base.write("llama_tokenizer/tokenizer.json", b"{}");
    refused(&base, &film, 3, &words);
    base.write("models/llama_tokenizer/tokenizer.json", b"{}");
    refused(&base, &film, 1, &["models/llama_tokenizer/tokenizer.json is not the vocabulary of Llama 3"]);
}

/// Pile-T5's vocabulary is the user's, too.
#[test]
fn aura_flow_lacks_its_vocabulary_by_name() {
    let base = Base::new();
    let workflow = text2image(&checkpoint(&base, "auraflow"), "EmptyLatentImage");
    let words = ["Pile-T5's vocabulary is not there", "models/t5_pile_tokenizer/tokenizer.model", "CLIPTextEncode"];
    refused(&base, &workflow, 3, &words);
    base.write("models/t5_pile_tokenizer/tokenizer.model", b"\x0a\xc8");
    refused(&base, &workflow, 1, &["models/t5_pile_tokenizer/tokenizer.model is not the vocabulary of Pile-T5"]);
    // One piece, which is unknown.
    base.write("models/t5_pile_tokenizer/tokenizer.model", b"\x0a\x09\x0a\x05<unk>\x18\x02");
    refused(&base, &workflow, 1, &["its piece 1 is not \"<s>\""]);
}

#[test]
fn parts_of_other_families_are_named() {
    let base = Base::new();
    let flux = checkpoint(&base, "flux");
    let sdxl = checkpoint(&base, "sdxl");
    let with = |workflow: &Json, node: &str, class: &str, inputs: Json| {
        let mut workflow = workflow.clone();
        workflow[node] = json!({ "class_type": class, "inputs": inputs });
        workflow
    };
    // SDXL's prompt node for a model that lacks its encoders.
    let sizes = json!({
        "clip": ["1", 1], "width": 64, "height": 64, "crop_w": 0, "crop_h": 0, "target_width": 64, "target_height": 64,
        "text_g": "a", "text_l": "a",
    });
    let plain = text2image(common::CHECKPOINT, "EmptyLatentImage");
    let encoders =
        ["the encoders clip_g and clip_l, and these are clip_l", "take the CLIP of a model that the node is for"];
    refused(&base, &with(&plain, "2", "CLIPTextEncodeSDXL", sizes), 1, &encoders);
    // A VAE for 16 channels on SDXL's latents.
    let other = json!({ "ckpt_name": flux });
    let mut mixed = with(&text2image(&sdxl, "EmptyLatentImage"), "8", "CheckpointLoaderSimple", other.clone());
    mixed["6"]["inputs"]["vae"] = json!(["8", 2]);
    refused(&base, &mixed, 1, &["this VAE decodes batch, 16 channels, height and width"]);
    // A text that another family's encoder made.
    let mut mixed = with(&text2image(&sdxl, "EmptyLatentImage"), "8", "CheckpointLoaderSimple", other);
    mixed["2"]["inputs"]["clip"] = json!(["8", 1]);
    refused(&base, &mixed, 1, &["encode it with a text encoder of the model's family"]);
    // A latent of another family, which is not empty.
    let mut mixed = text2image(&flux, "EmptyLatentImage");
    mixed["8"] = json!({ "class_type": "CheckpointLoaderSimple", "inputs": { "ckpt_name": sdxl } });
    mixed["9"] = json!({ "class_type": "LoadImage", "inputs": { "image": common::PICTURE } });
    mixed["4"] = json!({ "class_type": "VAEEncode", "inputs": { "pixels": ["9", 0], "vae": ["8", 2] } });
    refused(&base, &mixed, 1, &["the latent has 4 channels and the model takes 16"]);
}

#[test]
fn files_that_are_something_else_are_told_before_anything_runs() {
    let base = Base::new();
    let flux = checkpoint(&base, "flux");
    // Half a file.
    let whole = std::fs::read(base.path("models/checkpoints").join(&flux)).unwrap();
    base.write("models/checkpoints/half.safetensors", &whole[..whole.len() / 2]);
    refused(&base, &text2image("half.safetensors", "EmptySD3LatentImage"), 1, &["half.safetensors", "truncated"]);
    // A family that is not there yet says which it is.
    let mut tensors = common::tensors::Tensors::read(&base.path("models/checkpoints").join(&flux));
    tensors.0.retain(|name, _| !name.contains("vector_in"));
    tensors.write(&base.path("models/checkpoints/relative.safetensors"));
    let words = ["relative.safetensors is a relative of Flux", "not supported yet"];
    refused(&base, &text2image("relative.safetensors", "EmptySD3LatentImage"), 3, &words);
    // Two files of which neither is a CLIP-L.
    let encoder = |name: &str, prefix: &str| {
        let mut tensors = common::tensors::Tensors::read(&base.path("models/checkpoints").join(&flux));
        tensors.0 = tensors.0.into_iter().filter_map(|(k, v)| Some((k.strip_prefix(prefix)?.to_owned(), v))).collect();
        std::fs::create_dir_all(base.path("models/text_encoders")).unwrap();
        tensors.write(&base.path("models/text_encoders").join(name));
    };
    encoder("t5.safetensors", "text_encoders.t5xxl.transformer.");
    encoder("clip.safetensors", "text_encoders.clip_l.transformer.");
    let dual = |one: &str, two: &str| {
        let mut workflow = text2image(&flux, "EmptySD3LatentImage");
        let inputs = json!({ "clip_name1": one, "clip_name2": two, "type": "flux" });
        workflow["8"] = json!({ "class_type": "DualCLIPLoader", "inputs": inputs });
        workflow["2"]["inputs"]["clip"] = json!(["8", 0]);
        workflow["3"]["inputs"]["clip"] = json!(["8", 0]);
        workflow
    };
    let words = ["'t5.safetensors' is a T5-XXL", "a model of type flux has clip_l, t5xxl"];
    refused(&base, &dual("t5.safetensors", "t5.safetensors"), 1, &words);
    let file = base.write_json("workflow.json", &dual("t5.safetensors", "clip.safetensors"));
    base.run(&file).finish().expect_code(0);
    // A T5 is no model for pictures.
    std::fs::copy(base.path("models/text_encoders/t5.safetensors"), base.path("models/checkpoints/t5.safetensors"))
        .unwrap();
    refused(
        &base,
        &text2image("t5.safetensors", "EmptySD3LatentImage"),
        1,
        &["t5.safetensors is a text encoder, not a checkpoint"],
    );
}
