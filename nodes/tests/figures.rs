//! Small graphs without files against ComfyUI 0.8.0: shape, mean and three values of what one node gives.
//!
//! Recorded from the reference's own executor on a CPU with one thread.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use redraft_engine::cx::{Cancel, Metadata, Services};
use redraft_engine::event::{Event, Observer};
use redraft_engine::exec::{Engine, Outcome};
use redraft_engine::folders::FolderPaths;
use redraft_engine::io::Socket;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::prompt::{Given, NodeId, Prompt, PromptNode, Targets};
use redraft_nodes::values::{Part, parts};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

const FIGURES: &str = include_str!("figures.jsonl");
/// Pictures have values around 1; the figures are written with six digits.
const TOLERANCE: f64 = 2e-6;

/// What left the nodes, under the conformance cases' keys.
#[derive(Default)]
struct Left(HashMap<String, Part>);

impl Observer for Left {
    fn event(&mut self, _: Event) {}

    fn outputs(&mut self, node: &NodeId, outputs: &[Socket]) {
        for (slot, socket) in outputs.iter().enumerate() {
            for (at, value) in socket.iter().enumerate() {
                let number = if at == 0 { String::new() } else { format!("/#{at}") };
                for (suffix, part) in parts(value) {
                    self.0.insert(format!("{node}/{slot}{number}{suffix}"), part);
                }
            }
        }
    }
}

fn prompt(graph: &Json) -> Prompt {
    let nodes = graph.as_object().unwrap().iter().map(|(id, node)| {
        let inputs = node["inputs"].as_object().unwrap().iter().map(|(name, value)| {
            let given = match value.as_array() {
                Some(link) => Given::link(link[0].as_str().unwrap(), link[1].as_u64().unwrap() as usize),
                None => Given::Constant(value.clone()),
            };
            (name.clone(), given)
        });
        let class_type = node["class_type"].as_str().unwrap().to_owned();
        (NodeId::from(id.as_str()), PromptNode { class_type, inputs: inputs.collect(), title: None })
    });
    Prompt { nodes: nodes.collect() }
}

fn run(graph: &Json, base: &Path) -> Result<Left, String> {
    let registry = Registry::linked().unwrap();
    let mut engine = Engine::new(FolderPaths::below(base), Services::default());
    let plan =
        Plan::new(prompt(graph), &registry, &engine.folders, &Targets::All, "").map_err(|error| error.to_string())?;
    let mut left = Left::default();
    match engine.run(&plan, &Metadata::default(), &mut left, &Cancel::default()) {
        Outcome::Done => Ok(left),
        Outcome::Failed(failure) => Err(failure.to_string()),
        Outcome::Cancelled => Err("cancelled".to_owned()),
    }
}

/// What a figure and an output differ in, if they do.
fn difference(figure: &Json, part: Option<&Part>) -> Option<String> {
    let tensor = match part {
        Some(Part::Tensor(tensor)) => tensor.to_kind(Kind::Double),
        Some(Part::Plain(plain)) => return (*plain != figure["plain"]).then(|| format!("{plain}")),
        None => return Some("there is no such output".to_owned()),
    };
    let shape = json!(tensor.size());
    if shape != figure["shape"] {
        return Some(format!("the shape {shape}"));
    }
    let flat = tensor.flatten(0, -1);
    let count = flat.numel() as i64;
    if count == 0 {
        return None;
    }
    let found = [0, count / 3, count - 1].map(|at| flat.double_value(&[at]));
    let wanted = figure["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
    let mean = flat.mean(Kind::Double).double_value(&[]);
    let near = |a: f64, b: f64| (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
    let same = found.iter().zip(wanted).all(|(a, b)| near(*a, b)) && near(mean, figure["mean"].as_f64().unwrap());
    (!same).then(|| format!("the values {found:?} and the mean {mean}"))
}

#[test]
fn nodes_give_what_comfyui_gives() {
    let mut failures = Vec::new();
    let figures: Vec<Json> = FIGURES.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(figures.len() > 50);
    for figure in &figures {
        let key = figure["key"].as_str().unwrap();
        let found = match run(&figure["graph"], "nowhere".as_ref()) {
            Ok(left) => difference(figure, left.0.get(key)),
            Err(error) => Some(error),
        };
        failures.extend(found.map(|found| format!("{found}\n    {figure}")));
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

fn tensor<'l>(left: &'l Left, key: &str) -> &'l Tensor {
    match left.0.get(key) {
        Some(Part::Tensor(tensor)) => tensor,
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn saved_latents_are_read_again() {
    let base = tempfile::tempdir().unwrap();
    let node = |class: &str, inputs: Json| json!({"class_type": class, "inputs": inputs});
    let saving = json!({
        "1": node("EmptyLatentImage", json!({"width": 24, "height": 16, "batch_size": 2})),
        "2": node("SaveLatent", json!({"samples": ["1", 0], "filename_prefix": "a/x"}))
    });
    run(&saving, base.path()).unwrap();
    let load = json!({"1": node("LoadLatent", json!({"latent": "a/x_00001_.latent [output]"}))});
    assert_eq!(tensor(&run(&load, base.path()).unwrap(), "1/0/samples").size(), [2, 4, 2, 3]);

    // A file of the older format: its values are scaled.
    let old = Tensor::from_slice(&[0.18215f32, -0.3643]).view([1, 1, 1, 2]);
    std::fs::create_dir_all(base.path().join("input")).unwrap();
    redraft_nodes::files::tensor_file::save(&base.path().join("input/old.latent"), [("latent_tensor", &old)]).unwrap();
    let left = run(&json!({"1": node("LoadLatent", json!({"latent": "old.latent"}))}), base.path()).unwrap();
    let values: Vec<f32> = Vec::try_from(tensor(&left, "1/0/samples").flatten(0, -1)).unwrap();
    assert!((values[0] - 1.0).abs() < 1e-6 && (values[1] + 2.0).abs() < 1e-6, "{values:?}");
    let error = run(&json!({"1": node("LoadLatent", json!({"latent": "none.latent"}))}), base.path()).err().unwrap();
    assert!(error.contains("names the file \"none.latent\", which is not in"), "{error}");
}

#[test]
fn a_saved_data_set_is_read_again() {
    let base = tempfile::tempdir().unwrap();
    let node = |class: &str, inputs: Json| json!({"class_type": class, "inputs": inputs});
    let saving = |folder: &str, prefix: &str| {
        json!({
            "1": node("EmptyImage", json!({"width": 5, "height": 4, "batch_size": 3, "color": 0x336699})),
            "2": node("RebatchImages", json!({"images": ["1", 0], "batch_size": 1})),
            "3": node("AddTextSuffix", json!({"texts": " A ", "suffix": "b"})),
            "4": node("TextToUppercase", json!({"texts": ["3", 0]})),
            "5": node("SaveImageTextDataSetToFolder",
                json!({"images": ["2", 0], "texts": ["4", 0], "folder_name": folder, "filename_prefix": prefix}))
        })
    };
    for _ in 0..2 {
        run(&saving("set/one", "p"), base.path()).unwrap();
    }
    let mut names: Vec<_> =
        std::fs::read_dir(base.path().join("output/set/one")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["p_00000.png", "p_00000.txt", "p_00001.png", "p_00002.png"], "replaced, not added to");
    for (folder, prefix) in [("../out", "p"), ("/tmp/out", "p"), ("set", "../p"), ("set", "a/p")] {
        let error = run(&saving(folder, prefix), base.path()).err().unwrap();
        assert!(error.contains("leaves") || error.contains("take out slashes"), "{error}");
    }

    std::fs::create_dir_all(base.path().join("input")).unwrap();
    std::fs::rename(base.path().join("output/set"), base.path().join("input/set")).unwrap();
    let load = json!({"1": node("LoadImageTextDataSetFromFolder", json!({"folder": "set/one"}))});
    let left = run(&load, base.path()).unwrap();
    assert_eq!(tensor(&left, "1/0/#2").size(), [1, 4, 5, 3]);
    assert!((tensor(&left, "1/0").double_value(&[0, 0, 0, 2]) - 0.6).abs() < 1e-6);
    let texts = ["1/1", "1/1/#1", "1/1/#2"].map(|key| match &left.0[key] {
        Part::Plain(text) => text.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(texts, ["A B", "", ""]);
    let missing = json!({"1": node("LoadImageDataSetFromFolder", json!({"folder": "sot/one"}))});
    let error = run(&missing, base.path()).err().unwrap();
    assert!(error.contains("names the file \"sot/one\"") && error.contains("'set/one'"), "{error}");
}
