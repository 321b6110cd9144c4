//! Small graphs and what their nodes give: how they are run, and how a recorded figure is compared. Another crate's tests use it, too.
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
use redraft_nodes::ops::numerics::Numerics;
use redraft_nodes::values::{Part, parts};
use serde_json::{Value as Json, json};
use tch::Kind;

/// Pictures have values around 1; the figures are written with six digits.
const TOLERANCE: f64 = 2e-6;

/// What left the nodes, under the conformance cases' keys.
#[derive(Default)]
pub(crate) struct Left(pub(crate) HashMap<String, Part>);

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

pub(crate) fn run(graph: &Json, base: &Path) -> Result<Left, String> {
    run_targets(graph, base, &Targets::All)
}

/// Runs what some of the nodes need.
#[allow(dead_code, reason = "not every crate's tests use it")]
pub(crate) fn run_for(graph: &Json, base: &Path, nodes: &[&str]) -> Result<Left, String> {
    run_targets(graph, base, &Targets::Only(nodes.iter().map(|id| NodeId::from(*id)).collect()))
}

fn run_targets(graph: &Json, base: &Path, targets: &Targets) -> Result<Left, String> {
    let registry = Registry::linked().unwrap();
    let mut services = Services::default();
    redraft_nodes::provide(&mut services, Numerics::cpu());
    let mut engine = Engine::new(FolderPaths::below(base), services);
    let plan = Plan::new(prompt(graph), &registry, &engine.folders, targets, "").map_err(|error| error.to_string())?;
    let mut left = Left::default();
    match engine.run(&plan, &Metadata::default(), &mut left, &Cancel::default()) {
        Outcome::Done => Ok(left),
        Outcome::Failed(failure) => Err(failure.to_string()),
        Outcome::Cancelled => Err("cancelled".to_owned()),
    }
}

/// What a figure and an output differ in, if they do.
fn difference(figure: &Json, part: Option<&Part>, tolerance: f64) -> Option<String> {
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
    let near = |a: f64, b: f64| (a - b).abs() <= tolerance * b.abs().max(1.0);
    let same = found.iter().zip(wanted).all(|(a, b)| near(*a, b)) && near(mean, figure["mean"].as_f64().unwrap());
    (!same).then(|| format!("the values {found:?} and the mean {mean}"))
}

/// Runs the graph of each figure, without files, and compares; panics with those that differ.
///
/// # Panics
/// If one differs.
pub(crate) fn compare_all(figures: &str, at_least: usize) {
    assert!(figures.lines().count() > at_least);
    compare(figures, "nowhere".as_ref(), TOLERANCE);
}

/// The same with files below a base directory.
///
/// # Panics
/// If one differs.
pub(crate) fn compare(figures: &str, base: &Path, tolerance: f64) {
    let mut failures = Vec::new();
    for line in figures.lines() {
        let figure: Json = serde_json::from_str(line).unwrap();
        let key = figure["key"].as_str().unwrap();
        let found = match run(&figure["graph"], base) {
            Ok(left) => difference(&figure, left.0.get(key), tolerance),
            Err(error) => Some(error),
        };
        failures.extend(found.map(|found| format!("{found}\n    {figure}")));
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}
