//! Runs prompts through the engine and keeps what happened.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use redraft_engine::cache::Policy;
use redraft_engine::cx::{Cancel, Metadata, Services};
use redraft_engine::event::{Event, Observer};
use redraft_engine::exec::{Engine, Outcome};
use redraft_engine::failure::Failure;
use redraft_engine::folders::FolderPaths;
use redraft_engine::io::Socket;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::problem::Problems;
use redraft_engine::prompt::{Given, NodeId, Prompt, PromptNode, Targets};
use serde_json::Value as Json;

/// A prompt from `{"id": {"class": ..., "input": value or ["id", slot]}}`.
pub fn prompt(nodes: Json) -> Prompt {
    let nodes = nodes.as_object().unwrap().iter().map(|(id, node)| {
        let inputs = node.as_object().unwrap().iter().filter(|(name, _)| *name != "class").map(|(name, value)| {
            let given = match value.as_array() {
                Some(link) => Given::link(link[0].as_str().unwrap(), link[1].as_u64().unwrap() as usize),
                None => Given::Constant(value.clone()),
            };
            (name.clone(), given)
        });
        let class_type = node["class"].as_str().unwrap().to_owned();
        (NodeId::from(id.as_str()), PromptNode { class_type, inputs: inputs.collect(), title: None })
    });
    Prompt { nodes: nodes.collect() }
}

pub struct Bench {
    pub registry: Registry,
    pub engine: Engine,
}

/// Events, and the outputs as JSON.
#[derive(Default)]
pub struct Seen {
    pub events: Vec<Event>,
    outputs: Vec<(String, Vec<Vec<Json>>)>,
}

impl Observer for Seen {
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    fn outputs(&mut self, node: &NodeId, outputs: &[Socket]) {
        let values = outputs.iter().map(|socket| socket.iter().map(|value| value.shown()).collect());
        self.outputs.push((node.to_string(), values.collect()));
    }
}

impl Seen {
    /// The nodes that were begun, in order.
    pub fn called(&self) -> Vec<String> {
        let executing = self.events.iter().filter_map(|event| match event {
            Event::Executing { node, .. } => Some(node.to_string()),
            _ => None,
        });
        executing.collect()
    }

    /// The texts that were shown, in order.
    pub fn texts(&self) -> Vec<String> {
        let shown = self.events.iter().filter_map(|event| match event {
            Event::Executed { output, .. } => Some(output.texts().map(str::to_owned).collect::<Vec<_>>()),
            _ => None,
        });
        shown.flatten().collect()
    }

    /// What left an output last.
    pub fn socket(&self, node: &str, slot: usize) -> Vec<Json> {
        self.outputs.iter().rfind(|(id, _)| id == node).unwrap().1[slot].clone()
    }

    /// The whole numbers that left a node's first output.
    pub fn output(&self, node: &str) -> Vec<i64> {
        self.socket(node, 0).iter().map(|value| value.as_i64().unwrap()).collect()
    }
}

impl Bench {
    pub fn new() -> Self {
        Self::with(Policy::default())
    }

    pub fn with(policy: Policy) -> Self {
        let folders = FolderPaths::below("nowhere".as_ref());
        Self { registry: Registry::linked().unwrap(), engine: Engine::with_cache(folders, Services::default(), policy) }
    }

    pub fn problems(&self, nodes: Json) -> Problems {
        Plan::new(prompt(nodes), &self.registry, &self.engine.folders, &Targets::Outputs, "").unwrap_err()
    }

    pub fn run(&mut self, nodes: Json) -> (Outcome, Seen) {
        self.run_targets(nodes, &Targets::Outputs)
    }

    pub fn run_targets(&mut self, nodes: Json, targets: &Targets) -> (Outcome, Seen) {
        let plan = Plan::new(prompt(nodes), &self.registry, &self.engine.folders, targets, "").unwrap();
        let mut seen = Seen::default();
        let outcome = self.engine.run(&plan, &Metadata::default(), &mut seen, &Cancel::default());
        (outcome, seen)
    }

    /// Runs what is to end well.
    pub fn done(&mut self, nodes: Json) -> Seen {
        let (outcome, seen) = self.run(nodes);
        assert_eq!(outcome, Outcome::Done);
        seen
    }

    /// Runs what is to fail.
    pub fn failure(&mut self, nodes: Json) -> (Failure, Seen) {
        match self.run(nodes) {
            (Outcome::Failed(failure), seen) => (*failure, seen),
            (other, _) => panic!("{other:?}"),
        }
    }
}
