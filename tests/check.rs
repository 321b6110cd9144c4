//! `redraft check`, `run --allow-partial`, `--strict-names` and `convert --explain`, from the outside.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use serde_json::{Value as Json, json};

use crate::common::graph::Graph;
use crate::common::{Base, CHECKPOINT};

/// A file of the editor with a node of a pack, one of ComfyUI's that cannot run, and a model that is not here.
fn editor() -> Json {
    let node = |id: u64, class: &str, inputs: Json, outputs: Json, values: Json, properties: Json| {
        json!({ "id": id, "type": class, "mode": 0, "inputs": inputs, "outputs": outputs,
            "widgets_values": values, "properties": properties })
    };
    let model = json!({ "name": "gone.safetensors", "url": "https://example.com/gone", "directory": "checkpoints" });
    let input = |name: &str, ty: &str, link: u64| json!([{ "name": name, "type": ty, "link": link }]);
    let output = |ty: &str, link: u64| json!([{ "name": ty, "type": ty, "links": [link] }]);
    let loader = json!([{ "type": "MODEL", "links": [] }, { "type": "CLIP", "links": [1] }, { "type": "VAE" }]);
    json!({
        "version": 0.4,
        "nodes": [
            node(1, "CheckpointLoaderSimple", json!([]), loader, json!(["sd\\gone.safetensors"]), json!({ "models": [model] })),
            node(2, "CLIPTextEncode", input("clip", "CLIP", 1), output("CONDITIONING", 2), json!(["a cat"]), json!({})),
            node(3, "HunyuanRefinerLatent", json!([
                { "name": "positive", "type": "CONDITIONING", "link": 2 }, { "name": "negative", "type": "CONDITIONING", "link": 5 },
                { "name": "latent", "type": "LATENT", "link": 6 },
            ]), output("CONDITIONING", 3), json!([5000]), json!({})),
            node(4, "Their Node", input("conditioning", "CONDITIONING", 3), output("IMAGE", 4), json!([1, 2]),
                json!({ "cnr_id": "their-pack", "ver": "1.2.0" })),
            node(6, "EmptyLatentImage", json!([]), output("LATENT", 6), json!([64, 64, 1]), json!({})),
            node(5, "PreviewImage", input("images", "IMAGE", 4), json!([]), json!([]), json!({})),
        ],
        "links": [[1, 1, 1, 2, 0, "CLIP"], [5, 2, 0, 3, 1, "CONDITIONING"], [2, 2, 0, 3, 0, "CONDITIONING"], [3, 3, 0, 4, 0, "CONDITIONING"], [4, 4, 0, 5, 0, "IMAGE"], [6, 6, 0, 3, 2, "LATENT"]],
    })
}

#[test]
fn one_report_names_everything_that_is_missing() {
    let base = Base::new();
    let mut file = editor();
    file["nodes"][2]["widgets_values"] = json!([0.5]);
    // What a node that nobody here knows needs, only the file itself can say.
    file["nodes"][3]["properties"]["models"] =
        json!([{ "name": "theirs.pth", "url": "https://example.com/theirs", "directory": "loras" }]);
    let path = base.write_json("ui.json", &file);
    let done = base.command("check", &[&path]).finish().expect_code(3);
    for words in [
        "node 1 (CheckpointLoaderSimple), input 'ckpt_name'",
        "it can be had from https://example.com/gone",
        "node 3 (HunyuanRefinerLatent): HunyuanRefinerLatent is one of ComfyUI's own nodes, which redraft cannot run yet",
        "there is no node class Their Node here; it comes with the pack their-pack 1.2.0",
        "its 2 saved values have no names",
        "the workflow lists the model theirs.pth for loras, which is not there; it can be had from https://example.com/theirs",
    ] {
        assert!(done.stderr.contains(words), "{words}\n{}", done.stderr);
    }
    // With a wrong value of a node that cannot run, the workflow itself is wrong.
    let path = base.write_json("ui.json", &editor());
    let done = base.command("check", &[&path]).arg("--json").finish().expect_code(2);
    let report: Json = serde_json::from_str(&done.stdout).unwrap();
    let found: Vec<_> =
        report["problems"].as_array().unwrap().iter().map(|p| (p["node"].clone(), p["kind"].clone())).collect();
    let expected = [("1", "FileMissing"), ("3", "NotRunnable"), ("3", "ValueBiggerThanMax"), ("4", "UnknownClass")];
    assert_eq!(found, expected.map(|(node, kind)| (json!(node), json!(kind))));
    let missing = &report["problems"][0];
    assert_eq!((&missing["folder"], &missing["url"]), (&json!("checkpoints"), &json!("https://example.com/gone")));
    assert_eq!(missing["dependent_outputs"], json!(["5"]));
    assert_eq!(report["problems"][3]["pack"], "their-pack");
    assert_eq!(report["problems"][2]["message"], "Value 5000.0 bigger than max of 1.0");
}

#[test]
fn a_model_elsewhere_is_used_with_a_warning_unless_names_are_strict() {
    let base = Base::new();
    let models = base.path("models/checkpoints");
    fs::create_dir_all(models.join("sd")).unwrap();
    fs::rename(models.join(CHECKPOINT), models.join("sd").join(CHECKPOINT)).unwrap();
    let check = |name: &str, options: &[&str], code: i32| {
        let graph = Graph::saved(1).with("4", "ckpt_name", json!(name)).json();
        let path = base.write_json("api.json", &graph);
        base.command("check", &[&path]).args(options).finish().expect_code(code).stderr.clone()
    };
    let warned = check(CHECKPOINT, &[], 0);
    assert!(warned.contains("warning: node 4 (CheckpointLoaderSimple), input 'ckpt_name': using sd/tiny"), "{warned}");
    let refused = check(CHECKPOINT, &["--strict-names"], 3);
    assert!(refused.contains("there is 'sd/tiny.safetensors'"), "{refused}");
    let noted = check("sd\\tiny.safetensors", &[], 0);
    assert!(noted.contains("which is how Windows writes it") && !noted.contains("warning"), "{noted}");
    check("sd/tiny.safetensors", &["--strict-names"], 0);
}

#[test]
fn partial_runs_make_the_outputs_that_can_be_made() {
    let base = Base::new();
    let mut graph = Graph::saved(1);
    graph.node("90", "LoadImage", json!({ "image": "gone.png" }));
    graph.node("91", "SaveImage", json!({ "images": ["90", 0], "filename_prefix": "gone" }));
    let path = base.write_json("api.json", &graph.json());
    base.run(&path).finish().expect_code(3);
    assert!(base.outputs().is_empty());
    let done = base.run(&path).arg("--allow-partial").finish().expect_code(0);
    assert_eq!(base.outputs(), ["ComfyUI_00001_.png"]);
    for words in ["node 91 (SaveImage): this output is left out", "gone.png"] {
        assert!(done.stderr.contains(words), "{words}\n{}", done.stderr);
    }
}

#[test]
fn a_conversion_can_be_explained() {
    let base = Base::new();
    let mut file = editor();
    file["nodes"][0]["widgets_values"] = json!([]);
    file["nodes"][1]["widgets_values"] = json!(["a cat", "left over"]);
    file["nodes"][2]["inputs"][0]["link"] = json!(77);
    let path = base.write_json("ui.json", &file);
    let done = base.command("convert", &[&path]).arg("--explain").finish().expect_code(0);
    for words in [
        "note: node `1`: nothing is saved for `ckpt_name`",
        "warning: node `2`: `CLIPTextEncode` has no widgets for the saved values `\"left over\"`",
        "warning: node `3`: input `positive` has the link 77, which the file lacks",
        "warning: node `4`: the class `Their Node` is not known",
    ] {
        assert!(done.stderr.contains(words), "{words}\n{}", done.stderr);
    }
    let prompt: Json = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(prompt["3"]["inputs"], json!({ "noise_augmentation": 5000, "negative": ["2", 0], "latent": ["6", 0] }));
    // Without being asked, only what may change the meaning is said.
    let done = base.command("convert", &[&path]).finish().expect_code(0);
    assert!(!done.stderr.contains("nothing is saved") && done.stderr.contains("left over"), "{}", done.stderr);
}

/// A file of the editor with one node and what shows its picture.
fn shown(class: &str, values: Json) -> Json {
    json!({ "version": 0.4, "links": [[1, 1, 0, 2, 0, "IMAGE"]], "nodes": [
        { "id": 1, "type": class, "mode": 0, "inputs": [], "outputs": [{ "type": "IMAGE", "links": [1] }],
            "widgets_values": values },
        { "id": 2, "type": "PreviewImage", "mode": 0, "widgets_values": [],
            "inputs": [{ "name": "images", "type": "IMAGE", "link": 1 }] },
    ] })
}

#[test]
fn a_class_of_a_newer_version_is_known_and_not_there_yet() {
    let base = Base::new();
    let values = json!(["grok-imagine-image", "a cat", "1:1", 1, 7, "fixed", "1K", "low"]);
    let path = base.write_json("ui.json", &shown("GrokImageNode", values));
    let done = base.command("check", &[&path]).finish().expect_code(3);
    let told = "node 1 (GrokImageNode): GrokImageNode is a node of ComfyUI 0.33.0, newer than 0.8.0, by whose nodes redraft runs, and \
                is not there yet";
    let lines: Vec<_> = done.stderr.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains(told), "{lines:?}");
    let done = base.command("convert", &[&path]).finish().expect_code(0);
    let prompt: Json = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&prompt["1"]["inputs"]["seed"], &prompt["1"]["inputs"]["quality"]), (&json!(7), &json!("low")));
}

#[test]
fn a_file_is_read_by_the_version_that_is_asked_for() {
    let base = Base::new();
    let mut file = shown("EmptyImage", json!([64, 64, 1, 0]));
    file["nodes"].as_array_mut().unwrap().push(json!({ "id": 3, "type": "CreateVideo", "mode": 0, "inputs": [
        { "name": "images", "type": "IMAGE", "link": 1 }], "outputs": [], "widgets_values": [24, 10] }));
    file["extra"] = json!({ "linearData": { "inputs": [[1, "height"], [3, "fps"]], "outputs": [2] } });
    let path = base.write_json("ui.json", &file);
    let said = |version: &str| base.command("convert", &[&path]).args(["--semantics", version]).finish();
    for version in ["auto", "0.33.0"] {
        assert!(said(version).expect_code(0).stderr.contains("has the input `bit_depth`, here `10`"), "{version}");
    }
    assert!(said("0.8.0").expect_code(0).stderr.contains("has no widgets for the saved values"));
    assert!(said("0.9.0").expect_code(2).stderr.contains("write 0.8.0 or 0.33.0, or auto"));
    base.run(&path).args(["--semantics", "0.8.0"]).finish().expect_code(0);
    // What the author chose for the app view comes first.
    let done = base.command("inputs", &[&path]).args(["--semantics", "0.33.0"]).finish().expect_code(0);
    let schema: Json = serde_json::from_str(&done.stdout).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.keys().take(3).collect::<Vec<_>>(), ["1.height", "3.fps", "1.width"]);
    assert_eq!((&properties["1.height"]["x-app"], &schema["x-app-outputs"]), (&json!(true), &json!(["2"])));
}
