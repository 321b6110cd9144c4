//! From a prompt to a graph that can run: everything that is wrong is found here, all at once, before anything runs.

use std::collections::HashMap;

use petgraph::graph::{DiGraph, NodeIndex};

use crate::check::{Checked, beside, check, reachable, sources_first};
use crate::constant;
use crate::folders::FolderPaths;
use crate::io::Value;
use crate::key::Key;
use crate::key_builder::KeyBuilder;
use crate::live::{self, Live, undeclared};
use crate::node::{Class, Offer, Registry};
use crate::problem::{ProblemKind, Problems};
use crate::prompt::{Given, NodeId, Prompt, PromptNode, Targets};

/// Where an input's value comes from.
#[derive(Clone, Debug)]
pub enum Source {
    Constant(Value),
    Link { from: NodeIndex, slot: usize },
}

impl Source {
    /// The node and the slot, if it is a link.
    pub fn link(&self) -> Option<(NodeIndex, usize)> {
        match self {
            Self::Link { from, slot } => Some((*from, *slot)),
            Self::Constant(_) => None,
        }
    }
}

/// One input of a node that may be called.
#[derive(Clone, Debug)]
pub struct StepInput {
    pub name: String,
    pub source: Source,
    /// Pulled in only when the node asks for it.
    pub lazy: bool,
    /// The node takes the link, not what comes over it.
    pub raw: bool,
    /// Which of the node's inputs it is in the workflow, where the order of sources comes from.
    pub place: usize,
}

/// One node that may be called.
pub struct Step<'r> {
    pub id: NodeId,
    pub class: &'r Class,
    pub title: String,
    /// In declared order; inputs that were given nothing are not here.
    pub inputs: Vec<StepInput>,
    pub key: Key,
}

impl Step<'_> {
    /// The outputs that its inputs take: node and slot.
    pub fn links(&self) -> impl Iterator<Item = (NodeIndex, usize)> {
        self.inputs.iter().filter_map(|input| input.source.link())
    }
}

/// A checked workflow: a directed acyclic graph whose edges run from a source to who uses it.
pub struct Plan<'r> {
    /// Nodes were added sources first. An edge says which slot it leaves from.
    graph: DiGraph<Step<'r>, usize>,
    targets: Vec<NodeIndex>,
    index: HashMap<NodeId, NodeIndex>,
    pub(crate) registry: &'r Registry,
    pub(crate) salt: String,
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
        let reached = reachable(&prompt, targets);
        let nodes = sources_first(&prompt, &reached).into_iter().map(|id| (id.clone(), prompt.nodes[&id].clone()));
        for (id, node) in nodes.chain(beside(&prompt, registry, folders, &reached)) {
            if let Some(class) = registry.class(&node.class_type) {
                let step = plan_step(&node, &id, class, &index, &graph, salt, folders);
                let links: Vec<_> = step.links().collect();
                let at = graph.add_node(step);
                for (from, slot) in links {
                    graph.add_edge(from, at, slot);
                }
                index.insert(id, at);
            }
        }
        let targets = targets.iter().filter_map(|id| index.get(id).copied()).collect();
        Self { graph, targets, index, registry, salt: salt.to_owned(), prompt }
    }

    /// Where a node of the workflow stands.
    pub fn find(&self, id: &NodeId) -> Option<NodeIndex> {
        self.index.get(id).copied()
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

fn plan_step<'r>(
    node: &PromptNode,
    id: &NodeId,
    class: &'r Class,
    index: &HashMap<NodeId, NodeIndex>,
    graph: &DiGraph<Step<'r>, usize>,
    salt: &str,
    folders: &FolderPaths,
) -> Step<'r> {
    let mut key = KeyBuilder::new(class, id, salt, folders);
    let mut inputs = Vec::with_capacity(node.inputs.len());
    let declared = live::inputs(&class.schema, &node.inputs);
    let undeclared = undeclared(class, &node.inputs, &declared);
    for Live { name, input, .. } in declared.iter().chain(&undeclared) {
        let source = match node.inputs.get(name) {
            None | Some(Given::Malformed(_)) => continue,
            Some(Given::Link { node: from, slot }) => {
                let from = index[from];
                key.link(name, graph[from].key, *slot);
                Source::Link { from, slot: *slot }
            }
            Some(Given::Constant(converted)) => {
                key.constant(name, &input.kind, converted);
                Source::Constant(constant::to_value(&input.kind, converted))
            }
        };
        let place = node.inputs.get_index_of(name).unwrap_or_default();
        inputs.push(StepInput { name: name.clone(), source, lazy: input.lazy, raw: input.raw_link, place });
    }
    key.fingerprint(&class.fingerprint(&Offer { inputs: &node.inputs, types: &|_, _| None }));
    let title = node.title.clone().unwrap_or_else(|| class.schema.display_name.clone());
    Step { id: id.clone(), class, title, inputs, key: key.finish() }
}
