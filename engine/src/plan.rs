//! From a prompt to a graph that can run: everything that is wrong is found here, all at once, before anything runs.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, NodeFiltered, Reversed};

use crate::check::{Runnable, beside, check};
use crate::constant;
use crate::digests::Lasting;
use crate::folders::FolderPaths;
use crate::key::Key;
use crate::links::Links;
use crate::live::Live;
use crate::node::Registry;
use crate::problem::{ProblemKind, Problems};
use crate::prompt::{Given, NodeId, Prompt, Targets};
use crate::step::StepBuilder;
pub use crate::step::{Source, Step, StepInput};

/// A checked workflow: a directed acyclic graph whose edges run from a source to who uses it.
pub struct Plan<'r> {
    /// Nodes were added sources first. There is an edge for each link: a source that feeds two inputs of a node has two.
    pub(crate) graph: DiGraph<Step<'r>, ()>,
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

    /// As [`Plan::new`], but ignores problems of some kinds. They must be such that the nodes can be called all the
    /// same.
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
        Ok(Self::of(checked.whole()?, registry, folders, salt))
    }

    /// Plans what was checked already.
    pub fn of(runnable: Runnable, registry: &'r Registry, folders: &FolderPaths, salt: &str) -> Self {
        let Runnable { prompt, targets } = runnable;
        let links = Links::of(&prompt);
        let needed = links.needed_by(&targets);
        let ordered = links.sources_first(&needed).into_iter().map(|id| (id.clone(), prompt.nodes[id].clone()));
        let beside = beside(&prompt, &links, registry, folders, &needed);
        let builder = StepBuilder { salt, folders, settled: false };
        let mut graph: DiGraph<Step, ()> = DiGraph::new();
        let mut index: HashMap<NodeId, NodeIndex> = HashMap::new();
        for (id, node) in ordered.chain(beside) {
            let Some(class) = registry.class(&node.class_type) else { continue };
            let source = |live: &Live| -> Result<_, Infallible> {
                Ok(match node.inputs.get(&live.name) {
                    Some(Given::Link { node: from, slot }) => Some(Source::Link { from: index[from], slot: *slot }),
                    Some(Given::Constant(json)) => Some(Source::Constant(constant::to_value(&live.input.kind, json))),
                    None | Some(Given::Malformed(_)) => None,
                })
            };
            let Ok(mut step) = builder.step(id.clone(), class, node.title.clone(), &node.inputs, source);
            (step.key, step.lasting) = builder.key(&step, &node.inputs, |from| (graph[from].key, graph[from].lasting));
            let sources: Vec<_> = step.links().map(|(from, _)| from).collect();
            let at = graph.add_node(step);
            for from in sources {
                graph.add_edge(from, at, ());
            }
            index.insert(id, at);
        }
        let targets = targets.iter().filter_map(|id| index.get(id).copied()).collect();
        Self { graph, targets, index, registry, salt: salt.to_owned(), prompt }
    }

    /// The index of a node of the workflow.
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

    /// The keys under which other processes find the results of nodes, now that all files are read; of those alone whose keys were
    /// [not yet lasting](Lasting::NotYet).
    pub(crate) fn settled_keys(&self, folders: &FolderPaths) -> HashMap<NodeIndex, Key> {
        let builder = StepBuilder { salt: &self.salt, folders, settled: true };
        let mut settled: HashMap<NodeIndex, Key> = HashMap::new();
        for at in self.order() {
            let step = self.step(at);
            let Some(node) = self.prompt.nodes.get(&step.id).filter(|_| step.lasting == Lasting::NotYet) else {
                continue;
            };
            let source = |from| match settled.get(&from) {
                Some(key) => (*key, Lasting::Yes),
                None => (self.step(from).key, self.step(from).lasting),
            };
            if let (key, Lasting::Yes) = builder.key(step, &node.inputs, source) {
                settled.insert(at, key);
            }
        }
        settled
    }

    /// Every node, sources first.
    pub fn order(&self) -> impl Iterator<Item = NodeIndex> {
        self.graph.node_indices()
    }

    /// The targets and all that they need, without the nodes in `at_hand`, whose results are cached, and what only
    /// those need.
    pub(crate) fn needed(&self, at_hand: &HashSet<NodeIndex>) -> HashSet<NodeIndex> {
        let open = NodeFiltered::from_fn(&self.graph, |at| !at_hand.contains(&at));
        let upwards = Reversed(&open);
        let mut search = Dfs::empty(upwards);
        let mut needed = HashSet::new();
        for target in self.targets.iter().filter(|target| !at_hand.contains(target)) {
            search.move_to(*target);
            while let Some(at) = search.next(upwards) {
                needed.insert(at);
            }
        }
        needed
    }
}
