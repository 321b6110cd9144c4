//! Whole runs of families of models against ComfyUI 0.8.0, with the random weights that redraft makes: shape, mean, spread and three values
//! of what nodes give.
//!
//! Recorded from the reference's own nodes on a CPU, with the same files of weights and the same small vocabulary for Llama 3.

mod by_pictures;
mod files;

use std::path::Path;

use redraft_nodes::values::Part;
use serde_json::{Value as Json, json};
use tch::Kind;

use crate::graphs::run;
use crate::tensor;

const FIGURES: &str = include_str!("figures.jsonl");
/// Rounding differs from CPU to CPU and with the number of threads: by up to 1e-4 here. Pictures have structure: with one colour alone, the
/// group norms of a random encoder divide by almost nothing, and rounding decides over half of a value.
const TOLERANCE: f64 = 1e-3;

/// What a figure and an output differ in, if they do.
fn difference(figure: &Json, part: Option<&Part>) -> Option<String> {
    let Some(Part::Tensor(tensor)) = part else { return Some("there is no such output".to_owned()) };
    if json!(tensor.size()) != figure["shape"] {
        return Some(format!("the shape {:?}", tensor.size()));
    }
    let flat = tensor.to_kind(Kind::Double).flatten(0, -1);
    let count = flat.numel() as i64;
    let mut found = vec![flat.mean(Kind::Double).double_value(&[]), flat.std(false).double_value(&[])];
    found.extend([0, count / 3, count - 1].map(|at| flat.double_value(&[at])));
    let wanted: Vec<f64> = figure["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
    (!found.iter().zip(&wanted).all(near)).then(|| format!("{found:?}, not {wanted:?}"))
}

/// Runs the graph of each line, and compares what its figures are of.
fn compare(lines: &str, base: &Path) {
    let mut failures = Vec::new();
    for line in lines.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let left = match run(&case["graph"], base) {
            Ok(left) => left,
            Err(error) => {
                failures.push(format!("{}: {error}", case["name"]));
                continue;
            }
        };
        let figures = case["figures"].as_object().unwrap();
        assert!(!figures.is_empty());
        for (key, figure) in figures {
            let found = difference(figure, left.0.get(key));
            failures.extend(found.map(|found| format!("{} {key}: {found}", case["name"])));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn runs_give_what_comfyui_gives() {
    let _guard = tch::no_grad_guard();
    compare(FIGURES, files::base().path());
}

fn of_name(name: &str) -> Json {
    let cases = FIGURES.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    cases.into_iter().find(|case| case["name"] == name).unwrap()["graph"].clone()
}

#[test]
fn frames_take_time() {
    let mut graph = of_name("ltxv guides");
    graph["11"]["inputs"]["frame_rate"] = json!(0.0);
    let message = run(&graph, files::base().path()).err().unwrap();
    assert!(message.contains("set LTXVConditioning's frame_rate above 0"), "{message}");
}

#[test]
fn pictures_in_prompts_fit_what_reads_them() {
    let _guard = tch::no_grad_guard();
    let base = files::base();
    let refused = |graph: &Json, words: &str| {
        let message = run(graph, base.path()).err().unwrap_or_default();
        assert!(message.contains(words), "{words:?}: {message:?}");
    };
    let mut graph = of_name("hunyuan-video with a picture in its prompt");
    graph["2"]["inputs"]["prompt"] = json!("a (red:1.2) ball");
    refused(&graph, "leave the weights out");
    graph["2"]["inputs"]["prompt"] = json!("a red ball");
    graph["1"]["inputs"]["ckpt_name"] = json!("hidream.safetensors");
    // HiDream's Llama reads the text alone, and its model makes pictures, not videos.
    refused(&graph, "but a latent is batch x channels x height x width");
    let mut graph = of_name("hidream, changing a picture");
    graph["4"] = json!({"class_type": "EmptySD3LatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}});
    graph["5"]["inputs"]["latent_image"] = json!(["4", 0]);
    refused(&graph, "show it one of the same sides");
}

/// Nothing is computed otherwise.
#[test]
fn a_folder_of_diffusers_gives_what_its_checkpoint_gives() {
    let _guard = tch::no_grad_guard();
    let base = files::base();
    let mut graph = of_name("pixart");
    graph["2"] = graph["3"].clone();
    graph["1"] = json!({"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "plain.safetensors"}});
    let whole = run(&graph, base.path()).unwrap();
    graph["1"] = json!({"class_type": "DiffusersLoader", "inputs": {"model_path": "plain"}});
    let apart = run(&graph, base.path()).unwrap();
    assert!(tensor(&whole, "6/0").std(false).double_value(&[]) > 0.02);
    for key in ["2/0/0/cond", "5/0/samples", "6/0"] {
        assert_eq!(tensor(&whole, key), tensor(&apart, key), "{key}");
    }
}
