//! Whole graphs, held against ComfyUI 0.8.0: what one sampler of each gives.
//!
//! Each line of the data has a graph and its result on a CPU with the same checkpoints: those of `redraft random-checkpoint --seed 1`, of
//! each kind, or the trained ones of `redraft tiny-model`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write;

use common::figures::{Figures, HIGHEST, differs, figures};
use common::graph::{Graph, advanced};
use common::tensors::Tensors;
use common::{Base, Redraft};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

#[derive(Deserialize)]
struct Recorded {
    name: String,
    /// Its node `s` is the sampler.
    graph: Map<String, Json>,
    figures: Figures,
}

/// Puts a graph beside others: its ids begin with a prefix.
fn add(all: &mut Map<String, Json>, graph: &Map<String, Json>, prefix: &str) {
    for (id, node) in graph {
        let mut node = node.clone();
        for value in node["inputs"].as_object_mut().unwrap().values_mut() {
            if let Some([Json::String(from), _]) = value.as_array_mut().map(Vec::as_mut_slice) {
                *from = format!("{prefix}{from}");
            }
        }
        all.insert(format!("{prefix}{id}"), node);
    }
}

fn held(lines: &str, least: usize) {
    let base = Base::new();
    base.more_checkpoints();
    held_on(&base, lines, least);
}

fn held_on(base: &Base, lines: &str, least: usize) {
    let recorded: Vec<Recorded> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(recorded.len() >= least);
    let mut graph = Map::new();
    for (n, row) in recorded.iter().enumerate() {
        add(&mut graph, &row.graph, &format!("{n}-"));
    }
    let (file, dump) = (base.write_json("graph.json", &Json::Object(graph)), base.path("dump.safetensors"));
    let mut run = base.run(&file).arg("--dump").arg(&dump);
    for n in 0..recorded.len() {
        run = run.args(["--only", &format!("{n}-s")]);
    }
    run.finish().expect_code(0);
    let tensors = Tensors::read(&dump);
    let mut wrong = String::new();
    for (n, row) in recorded.iter().enumerate() {
        let found = tensors.floats(&format!("{n}-s/0/samples"));
        if differs(&found, &row.figures, HIGHEST) {
            writeln!(wrong, "{}\n    found {:?}\n    not   {:?}", row.name, figures(&found), row.figures).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Inpainting and InstructPix2Pix checkpoints: what is shown to them, and what stands in for it.
#[test]
fn checkpoints_with_further_input_channels() {
    held(include_str!("data/further-channels.jsonl"), 14);
}

/// What guidance remembers: within a run, and from one run to the next that goes on from its latent.
#[test]
fn guidance_that_remembers() {
    held(include_str!("data/remembered.jsonl"), 8);
}

/// CLIPAttentionMultiply, whose products are held in half precision.
#[test]
fn changed_text_encoders() {
    held(include_str!("data/text-encoders.jsonl"), 3);
}

/// ContextWindowsManual: along the batch, the height and the width.
#[test]
fn context_windows() {
    held(include_str!("data/context-windows.jsonl"), 13);
}

/// The trained model that the command carries, and what comes with it. On the machine that they were recorded on, every number of the
/// latents is ComfyUI's; trained weights do not enlarge what kernels for other CPUs round otherwise: those differ by 6e-4 at most.
fn held_on_trained(lines: &str, least: usize) {
    let base = Base::new();
    Redraft::new().arg("tiny-model").arg("--base-directory").arg(base.root()).finish().expect_code(0);
    held_on(&base, lines, least);
}

#[test]
fn trained_weights() {
    held_on_trained(include_str!("data/trained.jsonl"), 6);
}

/// An inpainting checkpoint, a LoRA, a textual inversion, and noise that is drawn along the way.
#[test]
fn companions_of_trained_weights() {
    held_on_trained(include_str!("data/companions.jsonl"), 4);
}

/// EasyCache and LazyCache: which steps they leave out, and what they answer.
#[test]
fn steps_that_are_left_out() {
    held_on_trained(include_str!("data/step-caches.jsonl"), 4);
}

/// A run in two halves under guidance with momentum, the second half with a strength of its own.
fn halves(cfg: f64) -> Json {
    let mut graph = Graph::image2image();
    graph.node("5", "EmptyLatentImage", json!({ "width": 64, "height": 64, "batch_size": 1 }));
    graph.node("a", "APG", json!({ "model": ["4", 0], "eta": 0.3, "norm_threshold": 5.0, "momentum": 0.5 }));
    let first = json!({ "model": ["a", 0], "latent_image": ["5", 0], "steps": 4, "cfg": 4.0, "end_at_step": 2,
        "return_with_leftover_noise": "enable" });
    graph.node("s0", "KSamplerAdvanced", advanced(first));
    let second = json!({ "model": ["a", 0], "latent_image": ["s0", 0], "steps": 4, "cfg": cfg, "start_at_step": 2,
        "add_noise": "disable" });
    graph.node("s", "KSamplerAdvanced", advanced(second));
    graph.node("saved", "SaveLatent", json!({ "samples": ["s", 0], "filename_prefix": "latent" }));
    graph.json()
}

/// In ComfyUI the second half would find what the last run left behind; here it goes on from the first, cached or not.
#[test]
fn what_ran_before_changes_nothing() {
    let base = Base::new();
    let [weak, strong] =
        [("weak.json", 2.0), ("strong.json", 6.0)].map(|(name, cfg)| base.write_json(name, &halves(cfg)));
    base.command("run", &[&weak, &strong]).args(["--device", "cpu"]).finish().expect_code(0);
    base.run(&strong).finish().expect_code(0);
    let saved = |n| Tensors::read(&base.path(&format!("output/latent_{n:05}_.latent"))).floats("latent_tensor");
    assert_ne!(saved(1), saved(2));
    assert_eq!(saved(2), saved(3));
}
