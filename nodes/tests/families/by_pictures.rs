//! Models that go by pictures, and what is laid over models: unCLIP, Stable Video Diffusion, SV3D, Zero123, hypernetworks, GLIGEN.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use redraft_nodes::files::tensor_file::save;
use serde_json::{Value as Json, json};
use tch::Tensor;

use super::{compare, files};
use crate::graphs::run;

const FIGURES: &str = include_str!("by_pictures.jsonl");

#[test]
fn runs_by_pictures_give_what_comfyui_gives() {
    let _guard = tch::no_grad_guard();
    compare(FIGURES, files::by_pictures().path());
}

fn of_name(name: &str) -> Json {
    let mut cases = FIGURES.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    cases.find(|case| case["name"] == name).unwrap()["graph"].clone()
}

fn error(graph: &Json, base: &Path) -> String {
    run(graph, base).err().unwrap()
}

/// The tensors of a file, changed.
fn rewrite(path: &Path, change: impl Fn(&str, Tensor) -> Option<Tensor>) {
    let all = Tensor::read_safetensors(path).unwrap();
    let kept: Vec<_> = all.into_iter().filter_map(|(name, tensor)| Some((change(&name, tensor)?, name))).collect();
    save(path, kept.iter().map(|(tensor, name)| (name.as_str(), tensor))).unwrap();
}

/// An archive of torch with an entry's bytes changed.
fn with_entry(archive: &[u8], end: &str, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut read = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut written = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for at in 0..read.len() {
        let mut entry = read.by_index(at).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if entry.name().ends_with(end) {
            change(&mut bytes);
        }
        written.start_file(entry.name(), stored).unwrap();
        written.write_all(&bytes).unwrap();
    }
    written.finish().unwrap().into_inner()
}

#[test]
fn damaged_hypernetworks_are_refused() {
    let base = files::by_pictures();
    let path = base.path().join("models/hypernetworks/hypernetwork.pt");
    let whole = std::fs::read(&path).unwrap();
    let graph = of_name("hypernetwork");
    let with = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        error(&graph, base.path())
    };
    let replaced = |old: &'static [u8], new: &'static [u8]| {
        with_entry(&whole, "/data.pkl", |bytes| {
            let at = bytes.windows(old.len()).position(|part| part == old).unwrap();
            bytes[at..at + old.len()].copy_from_slice(new);
        })
    };
    assert!(with(&whole[..whole.len() / 2]).contains("hypernetwork.pt"));
    assert!(with(b"").contains("hypernetwork.pt"));
    let message = with(&replaced(b"swish", b"swash"));
    assert!(message.contains("'swash', which is not supported") && message.contains("leakyrelu"), "{message}");
    let message = with(&replaced(b"linear.0.bias", b"linear.9.bias"));
    assert!(message.contains("no tensor linear.0.bias for the width 32"), "{message}");
    let message = with(&with_entry(&whole, "/data/0", |bytes| bytes[..2].copy_from_slice(&[0, 0x7e])));
    assert!(message.contains("values that are no numbers; the file is damaged"), "{message}");
}

#[test]
fn gligen_models_must_fit() {
    let base = files::by_pictures();
    let path = base.path().join("models/gligen/gligen.safetensors");
    let graph = of_name("gligen");
    let mut other = graph.clone();
    other["1"]["inputs"]["ckpt_name"] = json!("sd2-unclip.safetensors");
    other["1"]["class_type"] = json!("CheckpointLoaderSimple");
    // Of the same widths; its text is as wide, too.
    assert!(run(&other, base.path()).is_ok());
    other["1"]["inputs"]["ckpt_name"] = json!("sdxl.safetensors");
    let message = error(&other, base.path());
    assert!(
        message.contains("is for another UNet than that of") && message.contains("Stable Diffusion 1.x"),
        "{message}"
    );
    let whole = std::fs::read(&path).unwrap();
    let nan = |name: &str, tensor: Tensor| {
        Some(if name == "position_net.linears.2.bias" { tensor * f64::NAN } else { tensor })
    };
    rewrite(&path, nan);
    let message = error(&graph, base.path());
    assert!(message.contains("no numbers (NaN), so its weights are damaged"), "{message}");
    std::fs::write(&path, whole).unwrap();
    rewrite(&path, |name, tensor| (!name.contains("middle_block")).then_some(tensor));
    let message = error(&graph, base.path());
    assert!(message.contains("is for another UNet"), "{message}");
    rewrite(&path, |name, tensor| (!name.starts_with("position_net")).then_some(tensor));
    let message = error(&graph, base.path());
    assert!(message.contains("holds no GLIGEN model"), "{message}");
}

#[test]
fn boxes_are_counted() {
    let base = files::by_pictures();
    let mut graph = of_name("gligen");
    let mut last = "2".to_owned();
    for id in 100..131 {
        let mut node = graph["8"].clone();
        node["inputs"]["conditioning_to"] = json!([last, 0]);
        last = id.to_string();
        graph[&last] = node;
    }
    graph["9"]["inputs"]["conditioning_to"] = json!([last, 0]);
    let message = error(&graph, base.path());
    assert!(message.contains("31 texts are in boxes, and GLIGEN takes 30"), "{message}");
}

#[test]
fn pictures_must_be_seen_by_the_models_encoder() {
    let base = files::by_pictures();
    let mut graph = of_name("unclip");
    // Zero123's has vectors of 64 numbers, and the model takes 32.
    graph["30"] = json!({"class_type": "ImageOnlyCheckpointLoader", "inputs": {"ckpt_name": "zero123.safetensors"}});
    graph["22"]["inputs"]["clip_vision"] = json!(["30", 1]);
    let message = error(&graph, base.path());
    assert!(message.contains("vectors of 32 numbers") && message.contains("[1, 64]"), "{message}");
    graph["22"]["inputs"]["clip_vision"] = json!(["31", 3]);
    graph["31"] = json!({"class_type": "unCLIPCheckpointLoader", "inputs": {"ckpt_name": "plain.safetensors"}});
    let message = error(&graph, base.path());
    assert!(message.contains("the checkpoint holds no image encoder"), "{message}");
    let mut graph = of_name("zero123");
    graph["20"]["inputs"]["batch_size"] = json!(2);
    let message = error(&graph, base.path());
    assert!(message.contains("init_image holds 2 pictures"), "{message}");
}

#[test]
fn checkpoints_that_lack_layers_over_time_say_so() {
    let base = files::by_pictures();
    let graph = of_name("svd");
    let path = base.path().join("models/checkpoints/svd.safetensors");
    let missing = "model.diffusion_model.input_blocks.4.1.time_stack.0.norm_in.bias";
    rewrite(&path, |name, tensor| (name != missing).then_some(tensor));
    let message = error(&graph, base.path());
    assert!(message.contains(missing), "{message}");
    let mixture = "first_stage_model.decoder.mid.block_2.time_stack.in_layers.2.weight";
    rewrite(&path, |name, tensor| Some(if name == mixture { tensor.narrow(0, 0, 5).contiguous() } else { tensor }));
    let message = error(&graph, base.path());
    assert!(message.contains("time_stack.in_layers.2.weight") || message.contains(missing), "{message}");
}
