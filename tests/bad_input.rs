//! Files from strangers and mistyped options: a clear error with the right exit code, nothing written, no panic, no abort.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::graph::{Graph, ksampler, ui_workflow};
use common::tensors::{Tensor, Tensors};
use common::{BINARY, Base, CHECKPOINT, Done, PICTURE, Redraft, VAE};
use serde_json::{Value as Json, json};

/// Whatever was wrong: it ended by itself, with this code, said why in words for people, and wrote nothing.
#[track_caller]
fn assert_refused(what: &str, base: &Base, done: &Done, code: i32, words: &[&str]) {
    assert_eq!(done.code, Some(code), "{what}: exit code\nstdout: {}\nstderr: {}", done.stdout, done.stderr);
    for word in words {
        assert!(done.stderr.contains(word), "{what}: {word:?} is not in:\n{}", done.stderr);
    }
    assert!(done.stderr.starts_with("error: ") || done.stderr.contains("\nerror: "), "{what}: {}", done.stderr);
    for word in ["panicked", "RUST_BACKTRACE", "unwrap", "\u{1b}["] {
        assert!(!done.stderr.contains(word), "{what}: {word:?} is in:\n{}", done.stderr);
    }
    assert!(done.stderr.len() < 20_000, "{what}: {} bytes of errors", done.stderr.len());
    assert_eq!(base.outputs(), [""; 0], "{what}: something was written");
}

/// Runs a graph that is wrong.
#[track_caller]
fn assert_graph_refused(what: &str, base: &Base, graph: &Json, code: i32, words: &[&str]) {
    let done = base.run(&base.write_json("workflow.json", graph)).finish();
    assert_refused(what, base, &done, code, words);
}

#[test]
fn files_that_are_no_workflow() {
    let base = Base::new();
    let whole = Graph::saved(2).json().to_string();
    let nested = |open: &str, middle: &str, close: &str, n: usize| open.repeat(n) + middle + &close.repeat(n);
    let in_a_node = format!(
        r#"{{"1": {{"class_type": "EmptyLatentImage", "inputs": {{"width": {}}}}}}}"#,
        nested("[", "", "]", 100_000)
    );
    let garbage: Vec<u8> = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    let png = std::fs::read(base.path("input").join(PICTURE)).unwrap();
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("empty", vec![], &["the file is empty"]),
        ("blank", b" \n\t".to_vec(), &["the file is empty"]),
        ("cut off", whole.as_bytes()[..whole.len() / 2].to_vec(), &["line 1, column", "cut off"]),
        ("not JSON", b"hello".to_vec(), &["line 1, column 1", "no JSON"]),
        ("JavaScript", b"{id: 5}".to_vec(), &["line 1, column 2", "no JSON"]),
        ("garbage", garbage, &["no UTF-8 text"]),
        ("UTF-16", vec![0xff, 0xfe, b'{', 0, b'}', 0], &["UTF-16", "save the file as UTF-8"]),
        ("arrays 100,000 deep", nested("[", "", "]", 100_000).into(), &["nested deeper than"]),
        ("arrays 100,000 deep, not closed", nested("[", "", "", 100_000).into(), &["nested deeper than"]),
        ("objects 100,000 deep", nested("{\"a\":", "1", "}", 100_000).into(), &["nested deeper than"]),
        ("arrays 100,000 deep in a node", in_a_node.into(), &["nested deeper than"]),
        ("null", b"null".to_vec(), &["`null` is no workflow: give the JSON that ComfyUI saves or exports"]),
        ("a number", b"5".to_vec(), &["`5` is no workflow"]),
        ("a string", b"\"x\"".to_vec(), &["is no workflow"]),
        ("a list", b"[]".to_vec(), &["`[]` is no workflow"]),
        ("an empty object", b"{}".to_vec(), &["the object is empty"]),
        (
            "another object",
            br#"{"name": "redraft", "version": 1}"#.to_vec(),
            &["neither nodes nor a prompt (its first key is `name`)"],
        ),
        ("a picture without workflow", png.clone(), &["without a workflow in its metadata"]),
        ("a picture cut off", png[..20].to_vec(), &["cut off"]),
        (
            "nodes of the wrong shape",
            br#"{"1": {"class_type": 5, "inputs": {}}, "2": 7, "3": {"class_type": "KSampler", "inputs": []}}"#
                .to_vec(),
            &[
                "node `1`: `class_type` is `5`",
                "node `2`: `7` stands where a node belongs",
                "node `3`: `inputs` is `[]`",
            ],
        ),
        ("a body without prompt", br#"{"prompt": 3}"#.to_vec(), &["neither nodes nor a prompt"]),
        ("an editor's form without nodes", br#"{"nodes": 3, "links": []}"#.to_vec(), &["neither nodes nor a prompt"]),
    ];
    for (what, bytes, words) in cases {
        let file = base.write("workflow.json", bytes);
        for command in ["run", "convert"] {
            let done = base.command(command, &[&file]).finish();
            assert_refused(&format!("{command} {what}"), &base, &done, 2, words);
        }
    }
}

#[test]
fn files_that_are_not_there() {
    let base = Base::new();
    for command in ["run", "check", "convert"] {
        let done = base.command(command, &[&base.path("nowhere.json")]).finish();
        assert_refused(command, &base, &done, 2, &["nowhere.json", "No such file"]);
        let done = base.command(command, &[&base.path("input")]).finish();
        assert_refused(command, &base, &done, 2, &["input", "directory"]);
    }
}

#[test]
fn graphs_that_cannot_run() {
    let base = Base::new();
    let good = || Graph::saved(2);
    let cases: Vec<(&str, Json, i32, &[&str])> = vec![
        (
            "a node linked to itself",
            good().with("16", "latent_image", json!(["16", 0])).json(),
            2,
            &["node 16 (KSampler): depends on itself: 16 -> 16; remove one of these links"],
        ),
        (
            "a longer cycle",
            good().with("12", "pixels", json!(["8", 0])).json(),
            2,
            &["depends on itself:", "12 -> 16 -> 8", "remove one of these links"],
        ),
        (
            "a link to no node",
            good().with("8", "samples", json!(["99", 0])).json(),
            2,
            &["node 8 (VAEDecode), input 'samples'", "linked to node 99, which does not exist"],
        ),
        (
            "a link to no output",
            good().with("8", "vae", json!(["4", 3])).json(),
            2,
            &["node 8 (VAEDecode), input 'vae'", "output 3 of node 4 (CheckpointLoaderSimple), which has 3 outputs"],
        ),
        (
            "a link of the wrong type",
            good().with("8", "vae", json!(["4", 1])).json(),
            2,
            &["input 'vae'", "wants VAE", "gives CLIP", "connect an output of type VAE"],
        ),
        ("a missing input", without(good(), "16", "positive"), 2, &["input 'positive'", "is missing", "CONDITIONING"]),
        (
            "a constant for a socket",
            good().with("16", "positive", json!("x")).json(),
            2,
            &["input 'positive'", "connect an output"],
        ),
        (
            "text for a number",
            good().with("16", "steps", json!("many")).json(),
            2,
            &["input 'steps'", "\"many\"", "INT"],
        ),
        ("a list for a number", good().with("16", "steps", json!([])).json(), 2, &["input 'steps'", "INT"]),
        ("too small", good().with("16", "steps", json!(0)).json(), 2, &["input 'steps'", "smaller", "1"]),
        ("too big", good().with("16", "denoise", json!(1.5)).json(), 2, &["input 'denoise'", "bigger", "1.0"]),
        ("far too big", good().with("16", "seed", json!(1e300)).json(), 2, &["input 'seed'", "bigger"]),
        ("far too small", good().with("16", "seed", json!(-1e300)).json(), 2, &["input 'seed'", "smaller"]),
        ("not a number", good().with("16", "cfg", Json::Null).json(), 2, &["input 'cfg'"]),
        (
            "not in the list",
            good().with("16", "sampler_name", json!("eular")).json(),
            2,
            &["input 'sampler_name'", "\"eular\"", "did you mean 'euler'?"],
        ),
        (
            "no output node",
            Json::Object(Graph::image2image().0),
            2,
            &["no node that saves or shows something", "SaveImage"],
        ),
        (
            "an unknown class",
            json!({ "1": { "class_type": "KSamplr", "inputs": {} } }),
            3,
            &["node 1 (KSamplr)", "there is no node class KSamplr", "did you mean KSampler?"],
        ),
        (
            "a missing checkpoint",
            good().with("4", "ckpt_name", json!("tinny.safetensors")).json(),
            3,
            &[
                "node 4 (CheckpointLoaderSimple), input 'ckpt_name'",
                "tinny.safetensors",
                "models/checkpoints",
                "there is 'tiny.safetensors'",
            ],
        ),
        (
            "a missing picture",
            good().with("13", "image", json!("gone.png")).json(),
            3,
            &["node 13 (LoadImage), input 'image'", "gone.png", "put it there"],
        ),
        (
            "an editor's node without type",
            json!({ "nodes": [{ "id": 1 }], "links": [] }),
            2,
            &["entry 0 of `nodes` has no `type`; it is left out", "no node that saves or shows something"],
        ),
        ("an empty picture name", good().with("13", "image", json!("")).json(), 3, &["input 'image'"]),
    ];
    for (what, graph, code, words) in cases {
        assert_graph_refused(what, &base, &graph, code, words);
        let done = base.command("check", &[&base.path("workflow.json")]).finish();
        assert_refused(&format!("check {what}"), &base, &done, code, words);
    }
}

fn without(mut graph: Graph, id: &str, input: &str) -> Json {
    graph.0[id]["inputs"].as_object_mut().unwrap().shift_remove(input).unwrap();
    graph.json()
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let base = Base::new();
    let mut graph = Graph::saved(2)
        .with("4", "ckpt_name", json!("gone.safetensors"))
        .with("13", "image", json!("gone.png"))
        .with("16", "steps", json!(0))
        .with("16", "scheduler", json!("usual"))
        .with("8", "samples", json!(["99", 0]));
    graph.node("20", "NoSuchNode", json!({}));
    graph = graph.with("9", "filename_prefix", json!(["20", 0]));
    let words = [
        "node 4 (CheckpointLoaderSimple), input 'ckpt_name'",
        "node 13 (LoadImage), input 'image'",
        "node 8 (VAEDecode), input 'samples'",
        "node 20 (NoSuchNode)",
    ];
    // The sampler is out of reach once its only user is linked elsewhere: it would not run.
    assert_graph_refused("several", &base, &graph.json(), 2, &words[2..]);
    let graph = graph.with("8", "samples", json!(["16", 0]));
    let sampler = ["node 16 (KSampler), input 'steps'", "node 16 (KSampler), input 'scheduler'"];
    let words: Vec<_> = sampler.into_iter().chain([words[0], words[1], words[3]]).collect();
    assert_graph_refused("several", &base, &graph.json(), 2, &words);

    let done = base.command("check", &[&base.path("workflow.json")]).arg("--json").finish().expect_code(2);
    let report: Json = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(report["ok"], false);
    let found: Vec<_> =
        report["problems"].as_array().unwrap().iter().map(|p| (p["node"].clone(), p["type"].clone())).collect();
    let expected = [
        ("4", "value_not_in_list"),
        ("13", "custom_validation_failed"),
        ("16", "value_smaller_than_min"),
        ("16", "value_not_in_list"),
        ("20", "invalid_prompt"),
    ];
    assert_eq!(found, expected.map(|(node, kind)| (json!(node), json!(kind))));

    // Only missing things: 3, the code for that.
    let graph = graph.with("16", "steps", json!(2)).with("16", "scheduler", json!("normal"));
    assert_graph_refused("missing things", &base, &graph.json(), 3, &["gone.safetensors", "gone.png", "NoSuchNode"]);
}

/// A small safetensors file by hand: the header's length, the header, zeros.
fn safetensors(length: u64, header: &str, zeros: usize) -> Vec<u8> {
    [&length.to_le_bytes()[..], header.as_bytes(), &vec![0; zeros]].concat()
}

#[test]
fn model_files_that_are_none() {
    let base = Base::new();
    let whole = std::fs::read(base.path("models/checkpoints").join(CHECKPOINT)).unwrap();
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let outside = header.replace("[0,8]", "[0,80000]");
    let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]}}"#;
    let deep = "[".repeat(100_000);
    let vae = std::fs::read(base.path("models/vae").join(VAE)).unwrap();
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("cut in half", whole[..whole.len() / 2].to_vec(), &["truncated or damaged"]),
        ("cut in its header", whole[..1000].to_vec(), &["header claims"]),
        ("empty", vec![], &["0 bytes"]),
        ("3 bytes", vec![1, 2, 3], &["3 bytes"]),
        ("header beyond the file", safetensors(1000, header, 8), &["header claims 1000 bytes"]),
        ("header of u64::MAX", safetensors(u64::MAX, header, 8), &["header claims 18446744073709551615 bytes"]),
        ("header not JSON", safetensors(8, "not json", 8), &["header does not parse"]),
        ("header not UTF-8", [&4u64.to_le_bytes()[..], &[0xff; 4]].concat(), &["not UTF-8"]),
        ("header nested", safetensors(deep.len() as u64, &deep, 8), &["header does not parse"]),
        (
            "tensor beyond the file",
            safetensors(outside.len() as u64, &outside, 8),
            &["invalid shape, data type, or offset"],
        ),
        ("tensor of impossible size", safetensors(huge.len() as u64, huge, 8), &["overflow computing buffer size"]),
        ("a foreign file", safetensors(header.len() as u64, header, 8), &["not recognised", "Stable Diffusion 1.x"]),
        ("a pickle", b"\x80\x02}q\x00.".repeat(50), &["pickle"]),
        ("a zip, as .ckpt is", [b"PK\x03\x04".to_vec(), vec![0; 500]].concat(), &["pickle"]),
        ("a web page", b"<!doctype html><html>not found</html>".repeat(20), &["web page", "download"]),
        (
            "an LFS pointer",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n".to_vec(),
            &["git lfs pull"],
        ),
        ("a VAE", vae, &["is a VAE, not a checkpoint", "VAELoader"]),
        ("a LoRA", lora(&base), &["LoRA", "LoraLoader"]),
    ];
    let graph = Graph::saved(1).with("4", "ckpt_name", json!("bad.safetensors"));
    for (what, bytes, words) in cases {
        base.write("models/checkpoints/bad.safetensors", bytes);
        let words: Vec<_> =
            words.iter().chain(&["node 4 (CheckpointLoaderSimple)", "bad.safetensors"]).copied().collect();
        assert_graph_refused(what, &base, &graph.json(), 1, &words);
    }
}

fn lora(base: &Base) -> Vec<u8> {
    let tensor = |shape: [usize; 2]| Tensor {
        dtype: safetensors::Dtype::F16,
        shape: shape.to_vec(),
        bytes: vec![0; 2 * shape[0] * shape[1]],
    };
    let name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
    let tensors =
        [(format!("{name}.lora_down.weight"), tensor([4, 32])), (format!("{name}.lora_up.weight"), tensor([32, 4]))];
    let path = base.path("models/loras/lora.safetensors");
    Tensors(tensors.into_iter().collect()).write(&path);
    std::fs::read(path).unwrap()
}

/// A checkpoint that is recognised but lacks a tensor, or has one of another shape, fails with the tensor's name.
#[test]
fn checkpoints_with_wrong_tensors() {
    let base = Base::new();
    let whole = Tensors::read(&base.path("models/checkpoints").join(CHECKPOINT));
    let bad = base.path("models/checkpoints/bad.safetensors");
    let graph = Graph::saved(1).with("4", "ckpt_name", json!("bad.safetensors"));
    let name = "model.diffusion_model.middle_block.0.in_layers.2.weight";

    let mut tensors = whole.clone();
    tensors.0.shift_remove(name).unwrap();
    tensors.write(&bad);
    let words = ["node 16 (KSampler)", "middle_block.0.in_layers.2.weight"];
    assert_graph_refused("a tensor is missing", &base, &graph.json(), 1, &words);

    let mut tensors = whole.clone();
    tensors.0[name].shape.reverse();
    tensors.write(&bad);
    assert_graph_refused("a tensor has another shape", &base, &graph.json(), 1, &words);

    let mut tensors = whole;
    tensors.0.retain(|name, _| !name.starts_with("cond_stage_model."));
    tensors.write(&bad);
    assert_graph_refused("no text encoder", &base, &graph.json(), 1, &["CLIPTextEncode", "text encoder"]);
}

#[test]
fn pictures_that_are_none() {
    let base = Base::new();
    let png = std::fs::read(base.path("input").join(PICTURE)).unwrap();
    let mut flipped = png.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("empty", vec![], &["is not a png, jpeg, webp, gif, bmp, tiff, jpeg 2000, tga or avif file"]),
        (
            "text",
            b"not a picture at all".to_vec(),
            &["is not a png, jpeg, webp, gif, bmp, tiff, jpeg 2000, tga or avif file"],
        ),
        ("a PNG cut off in its header", png[..45].to_vec(), &["png file"]),
        ("a PNG of its signature alone", png[..8].to_vec(), &["not a readable png file"]),
        ("a PNG with a byte changed", flipped, &["damaged or truncated png file"]),
        ("a PNG of 60,000 × 60,000", large_png(), &["60000 × 60000 pixels"]),
        ("a JPEG of 60,000 × 60,000", large_jpeg(), &["60000 × 60000 pixels"]),
        ("a GIF of 60,000 × 60,000", large_gif(), &["60000 × 60000 pixels"]),
        ("a BMP of 60,000 × 60,000", large_bmp(), &["60000 × 60000 pixels"]),
        ("a JPEG of its start alone", vec![0xff, 0xd8, 0xff, 0xe0], &["truncated jpeg file"]),
        ("a WebP of its start alone", b"RIFF\xff\xff\xff\xffWEBP".to_vec(), &["not a readable webp file"]),
        ("a TIFF of its start alone", b"II*\0\xff\xff\xff\xff".to_vec(), &["damaged tiff file"]),
    ];
    let graph = Graph::saved(1).with("13", "image", json!("bad.png"));
    for (what, bytes, words) in cases {
        base.write("input/bad.png", bytes);
        let words: Vec<_> = words.iter().chain(&["node 13 (LoadImage)", "bad.png"]).copied().collect();
        assert_graph_refused(what, &base, &graph.json(), 1, &words);
    }
}

const SIDE: u32 = 60_000;

/// Signature, IHDR with its checksum, and an IDAT of nothing.
fn large_png() -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [&kind[..], data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
    };
    let header = [&SIDE.to_be_bytes()[..], &SIDE.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", &[]), &chunk(b"IEND", &[])].concat()
}

/// The checksum of PNG's chunks: CRC-32 (ISO 3309), bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// SOI, a frame header of one channel, and a scan that ends at once.
fn large_jpeg() -> Vec<u8> {
    let [high, low] = (SIDE as u16).to_be_bytes();
    let frame = [0xff, 0xc0, 0, 11, 8, high, low, high, low, 1, 1, 0x11, 0];
    let quantisation = [&[0xff, 0xdb, 0, 67, 0][..], &[1; 64]].concat();
    let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0xff, 0xd9];
    [&[0xff, 0xd8][..], &quantisation, &frame, &scan].concat()
}

fn large_gif() -> Vec<u8> {
    let side = (SIDE as u16).to_le_bytes();
    let screen = [&b"GIF89a"[..], &side, &side, &[0x80, 0, 0], &[0; 6]].concat();
    [&screen[..], &[0x2c, 0, 0, 0, 0], &side, &side, &[0, 2, 1, 0, 0, 0x3b]].concat()
}

fn large_bmp() -> Vec<u8> {
    let file = [&b"BM"[..], &[0xff; 4], &[0; 4], &54u32.to_le_bytes()].concat();
    let side = SIDE.to_le_bytes();
    let header = [&40u32.to_le_bytes()[..], &side, &side, &[1, 0, 24, 0], &[0; 24], &[0; 64]].concat();
    [file, header].concat()
}

/// What is asked for lies there, and is still out of reach.
#[test]
fn names_do_not_leave_their_folders() {
    let base = Base::new();
    std::fs::copy(base.path("input").join(PICTURE), base.path("secret.png")).unwrap();
    std::fs::copy(base.path("models/checkpoints").join(CHECKPOINT), base.path("models/secret.safetensors")).unwrap();
    let absolute = |name: &str| base.path(name).display().to_string();
    for name in
        ["../secret.png", "x/../../secret.png", "..\\secret.png", "../secret.png [output]", &absolute("secret.png")]
    {
        let graph = Graph::saved(1).with("13", "image", json!(name));
        assert_graph_refused(name, &base, &graph.json(), 3, &["node 13 (LoadImage), input 'image'"]);
    }
    for name in ["../secret.safetensors", "../../models/secret.safetensors", &absolute("models/secret.safetensors")] {
        let graph = Graph::saved(1).with("4", "ckpt_name", json!(name));
        assert_graph_refused(name, &base, &graph.json(), 3, &["node 4 (CheckpointLoaderSimple), input 'ckpt_name'"]);
    }
}

#[test]
fn saved_files_do_not_leave_the_output_folder() {
    let base = Base::new();
    let mut graph = Graph::image2image();
    graph.node("9", "SaveImage", json!({ "images": ["13", 0], "filename_prefix": "" }));
    let absolute = base.path("elsewhere/x").display().to_string();
    for prefix in ["../x", "a/../../x", "/tmp/redraft-test-x", absolute.as_str(), "../output-too/x", "C:/x"] {
        let words = ["node 9 (SaveImage)", "**** ERROR: Saving image outside the output folder is not allowed"];
        let json = json!(prefix);
        graph.0["9"]["inputs"]["filename_prefix"] = json;
        assert_graph_refused(prefix, &base, &graph.json(), 1, &words);
    }
    graph.0["9"]["inputs"]["filename_prefix"] = json!("a\0b");
    assert_graph_refused("NUL", &base, &graph.json(), 1, &["node 9 (SaveImage)"]);
    for name in ["elsewhere", "output-too"] {
        assert!(!base.path(name).exists(), "{name}");
    }
    let strays = std::fs::read_dir(base.root()).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some());
    assert_eq!(strays.count(), 1, "only the workflow");

    #[cfg(unix)]
    {
        std::fs::create_dir(base.path("elsewhere")).unwrap();
        std::os::unix::fs::symlink(base.path("elsewhere"), base.path("output/link")).unwrap();
        let graph = graph.with("9", "filename_prefix", json!("link/x"));
        let done = base.run(&base.write_json("workflow.json", &graph.json())).finish().expect_code(1);
        assert!(done.stderr.contains("outside the output folder"), "{}", done.stderr);
        assert_eq!(std::fs::read_dir(base.path("elsewhere")).unwrap().count(), 0);
    }
}

/// A name that leads out is a name that does not exist: left out of the prompt with a warning, its file not read.
#[test]
fn embeddings_do_not_leave_their_folder() {
    let base = Base::new();
    let vector = Tensor { dtype: safetensors::Dtype::F32, shape: vec![1, 32], bytes: vec![0x3f; 128] };
    let secret = Tensors([("clip_l".to_owned(), vector)].into_iter().collect());
    let encoded = |text: String| {
        let graph = Graph::saved(1).with("6", "text", json!(text)).with("16", "denoise", json!(0.0));
        let dump = base.path("dump.safetensors");
        let done = base.run(&base.write_json("workflow.json", &graph.json())).arg("--dump").arg(&dump).finish();
        (done.expect_code(0).stderr, Tensors::read(&dump).floats("6/0/0/cond"))
    };
    let absolute = base.path("models/secret").display().to_string();
    for name in ["../secret", "x/../../secret", "../secret.safetensors", &absolute] {
        let without = encoded(format!("a embedding:{name} b"));
        assert!(without.0.contains("does not exist"), "{name}: {}", without.0);
        secret.write(&base.path("models/secret.safetensors"));
        let with = encoded(format!("a embedding:{name} b"));
        assert_eq!(with.1, without.1, "{name}");
        assert!(with.0.contains("does not exist"), "{name}: {}", with.0);
        std::fs::remove_file(base.path("models/secret.safetensors")).unwrap();
    }
}

#[test]
fn options_that_are_wrong() {
    let base = Base::new();
    let file = base.write_json("workflow.json", &Graph::saved(1).json());
    base.write("not.yaml", "a: [1\nb: }");
    base.write("list.yaml", "- a\n- b\n");
    base.write("wrong.yaml", "a:\n  checkpoints: [1, 2]\n");
    base.write("wrong.toml", "[checkpoint]\n\"*\" = \"tiny.safetensors\"\n");
    let cases: Vec<(&[&str], &[&str])> = vec![
        (&["--set", "16"], &["--set '16'", "write NODE.INPUT=VALUE"]),
        (&["--set", "16=5"], &["--set '16=5'", "write NODE.INPUT"]),
        (&["--set", "99.steps=5"], &["no node has the id or title '99'"]),
        (&["--set", "16.step=5"], &["node 16 (KSampler) has no input 'step'", "steps"]),
        (&["--set", "16.steps=many"], &["node 16 (KSampler), input 'steps'", "\"many\""]),
        (&["--set", "16.steps=0"], &["node 16 (KSampler), input 'steps'", "smaller"]),
        (&["--set", "16.sampler_name=5"], &["input 'sampler_name'"]),
        (&["--substitute", "v1-5*"], &["--substitute 'v1-5*'", "write PATTERN=FILE"]),
        (&["--substitutes", "nowhere.toml"], &["nowhere.toml: cannot be used as substitutes", "No such file"]),
        (&["--substitutes", "not.yaml"], &["not.yaml: cannot be used as substitutes", "TOML parse error"]),
        (
            &["--substitutes", "wrong.toml"],
            &["there is no kind of folder 'checkpoint'", "there are input, checkpoints,"],
        ),
        (&["--device", "gpu"], &["unknown device \"gpu\"", "cpu"]),
        (&["--device", "cuda:x"], &["unknown device \"cuda:x\""]),
        (&["--device", "cuda:99"], &["cannot use device cuda:99"]),
        (&["--dump", "nowhere/dump.safetensors"], &["--dump: there is no folder nowhere; make it first"]),
        (&["--extra-model-paths-config", "nowhere.yaml"], &["nowhere.yaml", "cannot be used as extra model paths"]),
        (&["--extra-model-paths-config", "not.yaml"], &["not.yaml", "cannot be used as extra model paths"]),
        (&["--extra-model-paths-config", "list.yaml"], &["list.yaml", "no list of sections"]),
        (&["--extra-model-paths-config", "wrong.yaml"], &["a.checkpoints is no path", "one path per line"]),
    ];
    for (options, words) in cases {
        let done = base.command("run", &[&file]).args(options).current_dir(base.root()).finish();
        assert_refused(&options.join(" "), &base, &done, 2, words);
    }
    let done = base.command("run", &[&file, &file]).args(["--dump", "x.safetensors"]).finish();
    assert_refused("--dump of two", &base, &done, 2, &["--dump takes the tensors of one workflow"]);
    for arguments in
        [&["frobnicate"][..], &["run"], &["run", "--nonsense"], &["random-checkpoint", "--size", "large", "x"]]
    {
        let done = Redraft::new().args(arguments).finish();
        assert_refused(&arguments.join(" "), &base, &done, 2, &[]);
    }
}

#[test]
fn other_commands_refuse_too() {
    let base = Base::new();
    let nowhere = base.path("nowhere/file");
    let commands: [(&[&str], i32, &[&str]); 4] = [
        (&["draft-picture", "--width", "0"], 2, &["0 × 512 pixels"]),
        (&["draft-picture"], 2, &["nowhere"]),
        (&["random-checkpoint"], 2, &["nowhere"]),
        (&["nodes", "KSamplr"], 3, &["there is no node class KSamplr; did you mean KSampler?"]),
    ];
    for (arguments, code, words) in commands {
        let command = Redraft::new().args(arguments);
        let done = if arguments[0] == "nodes" { command } else { command.arg(&nowhere) }.finish();
        assert_refused(&arguments.join(" "), &base, &done, code, words);
    }
    let done = Redraft::new().args(["nodes", "zzz"]).finish();
    assert_refused("nodes zzz", &base, &done, 3, &["there is no node class zzz; `redraft nodes` lists all"]);
}

/// An editor's file whose links lead nowhere: the inputs are missing, which is said; nothing else breaks.
#[test]
fn editor_files_with_broken_links() {
    let base = Base::new();
    let broken = |change: &dyn Fn(&mut Json)| {
        let mut workflow = ui_workflow();
        change(&mut workflow);
        workflow
    };
    let substitutes = ["v1-5*=tiny.safetensors", "vivi*=draft.png", "vae-*=tiny-vae.safetensors"];
    let options: Vec<_> = substitutes.iter().flat_map(|s| ["--substitute", s]).collect();
    let cases: [(&str, Json); 4] = [
        ("an input names no link", broken(&|w| w["nodes"][0]["inputs"][0]["link"] = json!(99))),
        ("a link begins at no node", broken(&|w| w["links"][10][1] = json!(99))),
        ("a link begins at no output", broken(&|w| w["links"][10][2] = json!(5))),
        ("a link is no link", broken(&|w| w["links"][10] = json!("x"))),
    ];
    for (what, workflow) in cases {
        let file = base.write_json("workflow.json", &workflow);
        let done = base.run(&file).args(&options).finish();
        assert_refused(what, &base, &done, 2, &["node 8 (VAEDecode), input 'samples'"]);
    }
}

/// Too large a picture for the memory there is: its own exit code, and what to do.
#[test]
#[cfg(target_os = "linux")]
fn memory_runs_out() {
    let base = Base::new();
    let mut graph = Graph::image2image();
    for class in ["EmptyLatentImage", "EmptySD3LatentImage"] {
        graph.node("5", class, json!({ "width": 16384, "height": 16384, "batch_size": 4096 }));
        graph.shown("16", "KSampler", ksampler(json!({ "latent_image": ["5", 0] })));
        let file = base.write_json("workflow.json", &graph.json());
        let done = limited(&base, &file);
        let words = [&format!("node 5 ({class})"), "use a smaller picture or batch"];
        assert_refused("out of memory", &base, &done, 4, &words);
    }
}

/// Runs a file with 12 GB of address space, so that no machine really has to fill its memory.
fn limited(base: &Base, file: &Path) -> Done {
    let mut shell = std::process::Command::new("sh");
    let script = "ulimit -v 12000000; exec \"$0\" run \"$1\" --device cpu --base-directory \"$2\"";
    shell.args(["-c", script, BINARY]).arg(file).arg(base.root()).env("OMP_NUM_THREADS", "1");
    let output = shell.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
