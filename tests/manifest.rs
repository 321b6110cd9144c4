//! `redraft run --manifest` and `redraft replay`, by the command.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use common::graph::Graph;
use common::{Base, CHECKPOINT, Done, PICTURE, tensors};
use serde_json::{Value as Json, json};

struct Place {
    base: Base,
    manifest: PathBuf,
}

impl Place {
    fn new() -> Self {
        let base = Base::new();
        let file = base.write_json("workflow.json", &Graph::saved(1).json());
        let manifest = base.path("m.json");
        base.run(&file).arg(format!("--manifest={}", manifest.display())).finish().expect_code(0);
        Self { base, manifest }
    }

    fn replay(&self) -> Done {
        self.base.command("replay", &[&self.manifest]).args(["--device", "cpu"]).finish()
    }

    fn read(&self) -> Json {
        read(&self.manifest)
    }

    fn change(&self, change: impl FnOnce(&mut Json)) {
        let mut manifest = self.read();
        change(&mut manifest);
        fs::write(&self.manifest, manifest.to_string()).unwrap();
    }
}

fn read(path: &Path) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_manifest_tells_what_was_run_and_a_replay_repeats_it() {
    let place = Place::new();
    let manifest = place.read();
    assert_eq!((&manifest["exit"], &manifest["error"]), (&json!(0), &Json::Null));
    assert_eq!(manifest["machine"]["device"], "cpu");
    let nodes = manifest["nodes"].as_array().unwrap();
    let sampler = nodes.iter().find(|node| node["id"] == "16").unwrap();
    assert_eq!((&sampler["class"], &sampler["cached"]), (&json!("KSampler"), &json!(false)));
    assert!(sampler["seconds"].as_f64().unwrap() > 0.0 && sampler["outputs"][0].as_str().unwrap().len() == 64);
    if cfg!(target_os = "linux") {
        assert!(sampler["peak_memory"].as_u64().unwrap() > 1 << 20);
    }
    let loader = nodes.iter().find(|node| node["id"] == "4").unwrap();
    assert_eq!(loader["outputs"], json!([null, null, null]));
    let bytes = fs::read(place.base.path("models/checkpoints").join(CHECKPOINT)).unwrap();
    let model = &manifest["models"][0];
    let expected = json!({ "folder": "checkpoints", "name": CHECKPOINT, "bytes": bytes.len(),
        "blake3": blake3::hash(&bytes).to_hex().to_string() });
    assert_eq!(*model, expected);
    assert_eq!(manifest["pictures"][0]["name"], PICTURE);
    let file = &manifest["files"][0];
    assert_eq!((&file["name"], &file["pixels"]["width"]), (&json!("ComfyUI_00001_.png"), &json!(96)));

    let done = place.replay().expect_code(0);
    assert!(done.stdout.contains("9 nodes and 1 files are what they were"), "{}", done.stdout);
    assert_eq!(place.base.outputs(), ["ComfyUI_00001_.png"], "a replay leaves nothing");
}

#[test]
fn a_changed_model_is_named_and_a_missing_one_too() {
    let place = Place::new();
    let path = place.base.path("models/checkpoints").join(CHECKPOINT);
    let mut changed = tensors::Tensors::read(&path);
    changed.zero("model.diffusion_model.out.2.");
    // The file is linked to where all tests find it.
    fs::remove_file(&path).unwrap();
    changed.write(&path);
    let done = place.replay().expect_code(1);
    assert!(done.stdout.contains(&format!("the model {CHECKPOINT} (checkpoints) is another one")), "{}", done.stdout);
    assert!(done.stderr.contains("node 16 (KSampler): output 0 differs"), "{}", done.stderr);
    assert!(done.stderr.contains("`redraft record` and `redraft verify` do"), "{}", done.stderr);
    fs::remove_file(&path).unwrap();
    let done = place.replay().expect_code(3);
    assert!(done.stderr.contains(&format!("the model {CHECKPOINT} (checkpoints) is not there")), "{}", done.stderr);
}

/// Textual inversions are models, which prompts name.
#[test]
fn a_changed_embedding_is_named() {
    let base = Base::new();
    let path = base.path("models/embeddings/people/ann.safetensors");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let write = |byte: u8| {
        let vector = tensors::Tensor { dtype: safetensors::Dtype::F32, shape: vec![1, 64], bytes: vec![byte; 256] };
        tensors::Tensors([("clip_l".to_owned(), vector)].into_iter().collect()).write(&path);
    };
    write(0x3f);
    let file =
        base.write_json("workflow.json", &Graph::saved(1).with("6", "text", json!("a embedding:people/ann b")).json());
    let manifest = base.path("m.json");
    base.run(&file).arg(format!("--manifest={}", manifest.display())).finish().expect_code(0);
    let models = read(&manifest)["models"].clone();
    let names: Vec<_> = models.as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"people/ann.safetensors"), "{names:?}");
    write(0x3e);
    let done = base.command("replay", &[&manifest]).args(["--device", "cpu"]).finish().expect_code(1);
    let words = "the model people/ann.safetensors (embeddings) is another one, of the same size";
    assert!(done.stdout.contains(words), "{}", done.stdout);
    assert!(done.stderr.contains("node 6 (CLIPTextEncode): output 0 differs"), "{}", done.stderr);
}

#[test]
fn the_first_node_that_differs_is_named() {
    let place = Place::new();
    place.change(|manifest| manifest["prompt"]["7"]["inputs"]["text"] = json!("another"));
    let done = place.replay().expect_code(1);
    assert!(done.stderr.contains("node 7 (CLIPTextEncode): output 0 differs"), "{}", done.stderr);
    let place = Place::new();
    place.change(|manifest| manifest["prompt"]["16"]["inputs"]["cfg"] = json!(7.5));
    let done = place.replay().expect_code(1);
    assert!(done.stderr.contains("node 16 (KSampler): output 0 differs"), "{}", done.stderr);
    // What is different about the machine is said, and is no drift by itself.
    let place = Place::new();
    place.change(|manifest| manifest["machine"]["redraft"] = json!("0.0.1"));
    let done = place.replay().expect_code(0);
    assert!(done.stdout.contains("redraft: 0.0.1 then, "), "{}", done.stdout);
}

#[test]
fn a_manifest_is_written_after_a_failure_and_beside_what_was_saved() {
    let base = Base::new();
    let workflow = json!({
        "1": { "class_type": "EmptyImage", "inputs": { "width": 8, "height": 8, "batch_size": 1, "color": 255 } },
        "2": { "class_type": "SaveImage", "inputs": { "images": ["1", 0], "filename_prefix": "x" } },
        "3": { "class_type": "RegexReplace", "inputs": { "string": "a", "regex_pattern": "(", "replace": "" } },
        "4": { "class_type": "PreviewAny", "inputs": { "source": ["3", 0] } },
    });
    let file = base.write_json("workflow.json", &workflow);
    base.command("run", &[]).arg("--manifest").arg(&file).finish().expect_code(1);
    let found: Vec<_> = base.outputs().into_iter().filter(|name| name.ends_with(".manifest.json")).collect();
    let manifest = read(&base.path("output").join(&found[0]));
    assert_eq!(manifest["exit"], 1);
    assert!(manifest["error"].as_str().unwrap().contains("node 3 (RegexReplace)"), "{manifest:#}");
    // It fails again in the same way.
    let manifest = base.path("output").join(&found[0]);
    base.command("replay", &[&manifest]).finish().expect_code(0);
}

/// What a workflow reads of the output folder is found there, although what a replay saves goes elsewhere.
#[test]
fn a_workflow_that_reads_the_output_folder_is_replayed() {
    let base = Base::new();
    base.run(&base.write_json("first.json", &colour(7))).finish().expect_code(0);
    let workflow = json!({
        "1": { "class_type": "LoadImageOutput", "inputs": { "image": "x_00001_.png [output]" } },
        "2": { "class_type": "SaveImage", "inputs": { "images": ["1", 0], "filename_prefix": "x" } },
    });
    let file = base.write_json("second.json", &workflow);
    let manifest = base.path("m.json");
    base.run(&file).arg(format!("--manifest={}", manifest.display())).finish().expect_code(0);
    assert_eq!(read(&manifest)["files"][0]["name"], "x_00002_.png");
    base.command("replay", &[&manifest]).finish().expect_code(0);
    // Two workflows that read it are compared by running them.
    let other = base.write_json("other.json", &colour(8));
    base.command("diff", &[&file, &file]).arg("--run").finish().expect_code(0);
    base.command("diff", &[&file, &other]).arg("--run").finish().expect_code(1);
    assert_eq!(base.outputs(), ["x_00001_.png", "x_00002_.png"]);
    // And a sweep reads it in every cell.
    let sheet = base.path("sweep");
    let axis = ["--axis", "2.filename_prefix=a,b", "--out", sheet.to_str().unwrap()];
    base.command("sweep", &[&file]).args(axis).finish().expect_code(0);
}

/// A picture that came in a request body lies in no folder: the manifest holds it.
#[test]
fn pictures_that_came_with_the_workflow_are_in_the_manifest() {
    let base = Base::new();
    base.run(&base.write_json("first.json", &colour(7))).finish().expect_code(0);
    let bytes = fs::read(base.path("output/x_00001_.png")).unwrap();
    let prompt = json!({
        "1": { "class_type": "LoadImage", "inputs": { "image": "brought.png" } },
        "2": { "class_type": "SaveImage", "inputs": { "images": ["1", 0], "filename_prefix": "y" } },
    });
    let content = base64::engine::general_purpose::STANDARD.encode(bytes);
    let body = json!({ "input": { "workflow": prompt, "images": [{ "name": "brought.png", "image": content }] } });
    let file = base.write_json("body.json", &body);
    let manifest = base.path("m.json");
    base.run(&file).arg(format!("--manifest={}", manifest.display())).finish().expect_code(0);
    assert_eq!(read(&manifest)["brought"], json!([{ "name": "brought.png", "content": content }]));
    base.command("replay", &[&manifest]).finish().expect_code(0);
    let mut changed = read(&manifest);
    changed["brought"][0]["content"] = json!("???");
    fs::write(&manifest, changed.to_string()).unwrap();
    let done = base.command("replay", &[&manifest]).finish().expect_code(2);
    assert!(done.stderr.contains("the content of the picture \"brought.png\" is no base64"), "{}", done.stderr);
}

/// Names of saved files are those below the output folder, however it was named.
#[test]
fn a_relative_output_folder_leaves_the_names_short() {
    let base = Base::new();
    let file = base.write_json("workflow.json", &colour(7));
    let manifest = base.path("m.json");
    let mut run = base.run(&file).arg(format!("--manifest={}", manifest.display()));
    run = run.args(["--output-directory", "here"]).current_dir(base.root());
    run.finish().expect_code(0);
    assert_eq!(read(&manifest)["files"][0]["name"], "x_00001_.png");
}

fn colour(colour: u8) -> Json {
    json!({
        "1": { "class_type": "EmptyImage", "inputs": { "width": 8, "height": 8, "batch_size": 1, "color": colour } },
        "2": { "class_type": "SaveImage", "inputs": { "images": ["1", 0], "filename_prefix": "x" } },
    })
}

#[test]
fn what_is_no_manifest_is_refused() {
    let base = Base::new();
    for (text, words) in [
        ("{", "is no JSON"),
        ("{}", "is no manifest"),
        ("{\"format\": 9}", "has the format 9, and 1 is read here"),
        ("{\"format\": 1}", "is no manifest: missing field"),
    ] {
        let file = base.write("m.json", text);
        let done = base.command("replay", &[&file]).finish().expect_code(2);
        assert!(done.stderr.contains(words), "{}", done.stderr);
    }
    let two = base.write_json("a.json", &json!({}));
    let done = base
        .command("run", &[&two, &two])
        .arg(format!("--manifest={}", base.path("m.json").display()))
        .finish()
        .expect_code(2);
    assert!(done.stderr.contains("--manifest tells of one workflow"), "{}", done.stderr);
}
