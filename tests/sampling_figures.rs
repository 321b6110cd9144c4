//! Whole graphs, held against ComfyUI 0.8.0: what one sampler of each gives.
//!
//! Each line of the data has a graph and its result with the same checkpoints (`redraft random-checkpoint --seed 1`, of each
//! kind) on a CPU.

#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write;

use common::Base;
use common::figures::{Figures, differs, figures};
use common::tensors::Tensors;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

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
    let recorded: Vec<Recorded> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(recorded.len() >= least);
    let mut graph = Map::new();
    for (n, row) in recorded.iter().enumerate() {
        add(&mut graph, &row.graph, &format!("{n}-"));
    }
    let base = Base::new();
    base.more_checkpoints();
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
        if differs(&found, &row.figures) {
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
