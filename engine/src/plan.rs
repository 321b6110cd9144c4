//! From a prompt to a graph that can run: everything that is wrong is found here, all at once, before anything runs.

use std::collections::{HashMap, HashSet};

use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::check::{Checked, check, reachable};
use crate::constant;
use crate::folders::FolderPaths;
use crate::io::Value;
use crate::key::{Key, KeyBuilder};
use crate::live::{self, Live};
use crate::node::{Class, Registry};
use crate::problem::{ProblemKind, Problems};
use crate::prompt::{Given, NodeId, Prompt};

/// Which nodes a run is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Targets {
    /// The nodes that save or show something.
    #[default]
    Outputs,
    /// Every node.
    All,
    /// These, whether they save something or not.
    Only(Vec<NodeId>),
}

/// Where an input's value comes from.
#[derive(Clone, Debug)]
pub enum Source {
    Constant(Value),
    Link { from: NodeIndex, slot: usize },
}

/// One node that may be called.
pub struct Step<'r> {
    pub id: NodeId,
    pub class: &'r Class,
    pub title: String,
    /// In declared order; inputs that were given nothing are not here.
    pub inputs: Vec<(String, Source)>,
    pub key: Key,
}

impl Step<'_> {
    /// The outputs that its inputs take: node and slot.
    fn links(&self) -> impl Iterator<Item = (NodeIndex, usize)> {
        self.inputs.iter().filter_map(|(_, source)| match source {
            Source::Link { from, slot } => Some((*from, *slot)),
            Source::Constant(_) => None,
        })
    }
}

/// A checked workflow: a directed acyclic graph whose edges run from a source to who uses it.
pub struct Plan<'r> {
    /// Nodes were added sources first. An edge says which slot it leaves from.
    graph: DiGraph<Step<'r>, usize>,
    targets: Vec<NodeIndex>,
    /// The prompt with its constants converted, as it stands in the metadata of saved files.
    pub prompt: Prompt,
}

impl std::fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.graph.node_weights().map(|step| &step.id)).finish()
    }
}

impl<'r> Plan<'r> {
    /// Checks everything that the targets need and plans it. `salt` becomes part of every cache key.
    pub fn new(
        prompt: Prompt,
        registry: &'r Registry,
        folders: &FolderPaths,
        targets: &Targets,
        salt: &str,
    ) -> Result<Self, Problems> {
        Self::tolerating(prompt, registry, folders, targets, salt, |_| false)
    }

    /// [`Plan::new`] for a prompt in which problems of some kinds may stand. They must be such that the nodes can be called.
    pub fn tolerating(
        prompt: Prompt,
        registry: &'r Registry,
        folders: &FolderPaths,
        targets: &Targets,
        salt: &str,
        tolerated: fn(ProblemKind) -> bool,
    ) -> Result<Self, Problems> {
        let mut checked = check(&prompt, registry, folders, targets);
        checked.problems.0.retain(|problem| !tolerated(problem.kind));
        if !checked.problems.0.is_empty() {
            return Err(checked.problems);
        }
        Ok(Self::of_checked(checked.prompt, registry, folders, &checked.outputs, salt))
    }

    /// As [`new`](Self::new), but goes on with the outputs that nothing is wrong with, as ComfyUI does. What is wrong with
    /// the others comes with the plan.
    ///
    /// # Errors
    /// Everything that is wrong, if no output can be had.
    pub fn partial(
        prompt: Prompt,
        registry: &'r Registry,
        folders: &FolderPaths,
        targets: &Targets,
        salt: &str,
    ) -> Result<(Self, Checked), Problems> {
        let checked = check(&prompt, registry, folders, targets);
        if checked.good_outputs.is_empty() {
            return Err(checked.problems);
        }
        let plan = Self::of_checked(checked.prompt.clone(), registry, folders, &checked.good_outputs, salt);
        Ok((plan, checked))
    }

    fn of_checked(
        prompt: Prompt,
        registry: &'r Registry,
        folders: &FolderPaths,
        targets: &[NodeId],
        salt: &str,
    ) -> Self {
        let mut graph = DiGraph::new();
        let mut index: HashMap<NodeId, NodeIndex> = HashMap::new();
        for id in sources_first(&prompt, &reachable(&prompt, targets)) {
            if let Some(class) = registry.class(&prompt.nodes[&id].class_type) {
                let step = plan_step(&prompt, &id, class, &index, &graph, salt, folders);
                let links: Vec<_> = step.links().collect();
                let at = graph.add_node(step);
                for (from, slot) in links {
                    graph.add_edge(from, at, slot);
                }
                index.insert(id, at);
            }
        }
        let targets = targets.iter().filter_map(|id| index.get(id).copied()).collect();
        Self { graph, targets, prompt }
    }

    pub fn step(&self, at: NodeIndex) -> &Step<'r> {
        &self.graph[at]
    }

    /// What the run is for, in document order.
    pub fn targets(&self) -> &[NodeIndex] {
        &self.targets
    }

    /// Every node, sources first.
    pub fn order(&self) -> impl Iterator<Item = NodeIndex> {
        self.graph.node_indices()
    }

    /// The nodes whose outputs `at` takes, in the order of its inputs.
    pub fn sources(&self, at: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.graph[at].links().map(|(from, _)| from)
    }
}

/// The nodes among `wanted` in an order in which each comes after those that it is linked to. They form no cycle.
fn sources_first(prompt: &Prompt, wanted: &HashSet<NodeId>) -> Vec<NodeId> {
    let mut graph: DiGraph<&NodeId, ()> = DiGraph::new();
    let ids = prompt.nodes.keys().filter(|id| wanted.contains(*id));
    let index: HashMap<&NodeId, NodeIndex> = ids.map(|id| (id, graph.add_node(id))).collect();
    let order: Vec<NodeIndex> = graph.node_indices().collect();
    for at in order {
        for given in prompt.nodes[graph[at]].inputs.values() {
            if let Given::Link { node, .. } = given {
                graph.add_edge(index[node], at, ());
            }
        }
    }
    toposort(&graph, None).unwrap_or_default().into_iter().map(|at| graph[at].clone()).collect()
}

fn plan_step<'r>(
    prompt: &Prompt,
    id: &NodeId,
    class: &'r Class,
    index: &HashMap<NodeId, NodeIndex>,
    graph: &DiGraph<Step<'r>, usize>,
    salt: &str,
    folders: &FolderPaths,
) -> Step<'r> {
    let node = &prompt.nodes[id];
    let mut key = KeyBuilder::new(class, id, salt, folders);
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for Live { name, input, .. } in live::inputs(&class.schema, &node.inputs) {
        match node.inputs.get(&name) {
            None | Some(Given::Malformed(_)) => {}
            Some(Given::Link { node: from, slot }) => {
                let from = index[from];
                key.link(&name, graph[from].key, *slot);
                inputs.push((name, Source::Link { from, slot: *slot }));
            }
            Some(Given::Constant(converted)) => {
                key.constant(&name, &input.kind, converted);
                let value = constant::to_value(&input.kind, converted);
                inputs.push((name, Source::Constant(value)));
            }
        }
    }
    let title = node.title.clone().unwrap_or_else(|| class.schema.display_name.clone());
    Step { id: id.clone(), class, title, inputs, key: key.finish() }
}
