//! The graph that runs: the plan's, and the nodes that nodes have put in their place.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use petgraph::Direction::Outgoing;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{EdgeRef, NodeFiltered};

use crate::constant;
use crate::cx::RunningGraph;
use crate::feed::{Feed, GraphNode, Link};
use crate::folders::FolderPaths;
use crate::graph::Graph;
use crate::live::Live;
use crate::plan::{Plan, Source, Step};
use crate::prompt::{Given, NodeId};
use crate::step::{StepBuilder, plain};

use super::agenda::Nature;

/// Edges are the plan's: one for each link, from a source to who uses it. Those among new nodes may form cycles.
pub(super) struct Nodes<'a, 'r> {
    plan: &'a Plan<'r>,
    graph: DiGraph<Node<'a, 'r>, ()>,
    /// The nodes made at run time.
    made: HashMap<NodeId, NodeIndex>,
}

enum Node<'a, 'r> {
    Planned(&'a Step<'r>),
    Made(Box<MadeStep<'r>>),
}

struct MadeStep<'r> {
    step: Step<'r>,
    parent: NodeIndex,
    display: NodeId,
}

impl<'a, 'r> Nodes<'a, 'r> {
    pub(super) fn new(plan: &'a Plan<'r>) -> Self {
        let graph = plan.graph.map(|_, step| Node::Planned(step), |_, ()| ());
        Self { plan, graph, made: HashMap::new() }
    }

    pub(super) fn step(&self, at: NodeIndex) -> &Step<'r> {
        match &self.graph[at] {
            Node::Planned(step) => step,
            Node::Made(made) => &made.step,
        }
    }

    fn made(&self, at: NodeIndex) -> Option<&MadeStep<'r>> {
        match self.graph.node_weight(at)? {
            Node::Planned(_) => None,
            Node::Made(made) => Some(made),
        }
    }

    pub(super) fn is_made(&self, at: NodeIndex) -> bool {
        self.made(at).is_some()
    }

    pub(super) fn find(&self, id: &NodeId) -> Option<NodeIndex> {
        self.plan.find(id).or_else(|| self.made.get(id).copied())
    }

    pub(super) fn nature(&self, at: NodeIndex) -> Nature {
        let class = self.step(at).class;
        Nature { output: class.schema.output_node, later: class.later }
    }

    /// The node of the workflow from which a node comes: itself, unless another made it.
    pub(super) fn root(&self, mut at: NodeIndex) -> NodeIndex {
        while let Some(made) = self.made(at) {
            at = made.parent;
        }
        at
    }

    /// The id under which the user sees a node.
    pub(super) fn display(&self, at: NodeIndex) -> NodeId {
        let mut id = self.step(at).id.clone();
        while let Some(made) = self.find(&id).and_then(|at| self.made(at)) {
            id = made.display.clone();
        }
        id
    }

    /// How many inputs of `users` each node feeds, by the nodes' indices.
    pub(super) fn uses(&self, users: &HashSet<NodeIndex>) -> Vec<usize> {
        let used = |at| self.graph.edges_directed(at, Outgoing).filter(|edge| users.contains(&edge.target())).count();
        self.graph.node_indices().map(used).collect()
    }

    /// Adds what a node puts in its place. Fails in words if a class or a source does not exist.
    pub(super) fn grow(
        &mut self,
        parent: NodeIndex,
        graph: Graph,
        folders: &FolderPaths,
    ) -> Result<Vec<NodeIndex>, String> {
        let first = self.graph.node_count();
        let made: Vec<_> = (first..first + graph.nodes.len()).map(NodeIndex::new).collect();
        for (id, at) in graph.nodes.keys().zip(&made) {
            if self.find(id).is_some() {
                return Err(format!("it made the node {id} twice; begin another graph for the second"));
            }
            self.made.insert(id.clone(), *at);
        }
        let builder = StepBuilder { salt: &self.plan.salt, folders, settled: false };
        let mut all_given = Vec::with_capacity(made.len());
        for (id, mut node) in graph.nodes {
            let class = self.plan.registry.class(&node.class);
            let class =
                class.ok_or_else(|| format!("it made a node of the class {}, which does not exist", node.class))?;
            let display = node.display.take().unwrap_or_else(|| self.step(parent).id.clone());
            let given = given(&node.inputs);
            let step = builder.step(id, class, None, &given, |live| self.source(live, &node, folders))?;
            self.graph.add_node(Node::Made(Box::new(MadeStep { step, parent, display })));
            all_given.push(given);
        }
        for at in &made {
            let sources: Vec<_> = self.step(*at).links().map(|(from, _)| from).collect();
            for from in sources {
                self.graph.add_edge(from, *at, ());
            }
        }
        self.find_keys(&made, &all_given, builder);
        Ok(made)
    }

    /// What feeds an input of a new node: what it was given, or the default of a widget that it was not.
    fn source(&self, live: &Live<'r>, node: &GraphNode, folders: &FolderPaths) -> Result<Option<Source>, String> {
        let Live { name, input, optional } = live;
        Ok(match node.inputs.get(name) {
            Some(Feed::Value(value)) => Some(Source::Constant(value.clone())),
            Some(Feed::Link(Link { node: from, slot })) => {
                let found = self.find(from);
                let from = found.ok_or_else(|| format!("it made a link to node {from}, which does not exist"))?;
                Some(Source::Link { from, slot: *slot })
            }
            None if *optional || !input.is_widget() => None,
            None => {
                let default = input.kind.default(folders);
                default.map(|default| Source::Constant(constant::to_value(&input.kind, &default)))
            }
        })
    }

    /// Finds the cache keys of new nodes, sources first. In a cycle there is no such order: its results are never reused.
    fn find_keys(&mut self, made: &[NodeIndex], given: &[IndexMap<String, Given>], builder: StepBuilder<'_>) {
        let Some(first) = made.first().copied() else { return };
        let order = toposort(&NodeFiltered::from_fn(&self.graph, |at| at >= first), None);
        for at in order.as_deref().unwrap_or(made).iter().copied() {
            let step = self.step(at);
            let key = match &order {
                Ok(_) => {
                    let source = |from| (self.step(from).key, self.step(from).lasting);
                    builder.key(step, &given[at.index() - first.index()], source)
                }
                Err(_) => builder.unique_key(step),
            };
            if let Node::Made(made) = &mut self.graph[at] {
                (made.step.key, made.step.lasting) = key;
            }
        }
    }
}

/// What a node made at run time was given, in the form that a workflow has it.
fn given(inputs: &IndexMap<String, Feed>) -> IndexMap<String, Given> {
    let each = inputs.iter().map(|(name, feed)| {
        let given = match feed {
            Feed::Link(link) => Given::Link { node: link.node.clone(), slot: link.slot },
            Feed::Value(value) => Given::Constant(plain(value).unwrap_or_default()),
        };
        (name.clone(), given)
    });
    each.collect()
}

impl RunningGraph for Nodes<'_, '_> {
    fn node(&self, id: &NodeId) -> Option<GraphNode> {
        let step = self.step(self.find(id)?);
        let mut inputs: Vec<_> = step.inputs.iter().collect();
        inputs.sort_by_key(|input| input.position);
        let inputs = inputs.into_iter().map(|input| {
            let feed = match &input.source {
                Source::Constant(value) => Feed::Value(value.clone()),
                Source::Link { from, slot } => Feed::link(&self.step(*from).id, *slot),
            };
            (input.name.clone(), feed)
        });
        Some(GraphNode { class: step.class.schema.class.clone(), inputs: inputs.collect(), display: None })
    }
}
