//! The graph that runs: the plan, and the nodes that nodes have put in their place.

use std::collections::HashMap;

use indexmap::IndexMap;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use serde_json::Value as Json;

use crate::constant;
use crate::cx::RunningGraph;
use crate::feed::{Feed, GraphNode, Link};
use crate::folders::FolderPaths;
use crate::graph::Graph;
use crate::io::Value;
use crate::key::Key;
use crate::key_builder::KeyBuilder;
use crate::live::{self, Live, undeclared};
use crate::node::{Class, Offer};
use crate::plan::{Plan, Source, Step, StepInput};
use crate::prompt::{Given, NodeId};
use crate::schema::Kind;

use super::schedule::Nature;

pub(super) struct Nodes<'a, 'r> {
    plan: &'a Plan<'r>,
    /// Nodes made at run time, numbered behind the plan's.
    grown: Vec<Grown<'r>>,
    ids: HashMap<NodeId, NodeIndex>,
}

struct Grown<'r> {
    step: Step<'r>,
    parent: NodeIndex,
    display: NodeId,
}

impl<'a, 'r> Nodes<'a, 'r> {
    pub(super) fn new(plan: &'a Plan<'r>) -> Self {
        Self { plan, grown: Vec::new(), ids: HashMap::new() }
    }

    pub(super) fn step(&self, at: NodeIndex) -> &Step<'r> {
        match at.index().checked_sub(self.plan.len()) {
            Some(i) => &self.grown[i].step,
            None => self.plan.step(at),
        }
    }

    fn grown(&self, at: NodeIndex) -> Option<&Grown<'r>> {
        self.grown.get(at.index().checked_sub(self.plan.len())?)
    }

    pub(super) fn is_grown(&self, at: NodeIndex) -> bool {
        self.grown(at).is_some()
    }

    pub(super) fn find(&self, id: &NodeId) -> Option<NodeIndex> {
        self.plan.find(id).or_else(|| self.ids.get(id).copied())
    }

    pub(super) fn nature(&self, at: NodeIndex) -> Nature {
        let class = self.step(at).class;
        Nature { output: class.schema.output_node, later: class.later }
    }

    /// The node of the workflow from which a node comes: itself, unless another made it.
    pub(super) fn root(&self, mut at: NodeIndex) -> NodeIndex {
        while let Some(grown) = self.grown(at) {
            at = grown.parent;
        }
        at
    }

    /// The id under which the user sees a node.
    pub(super) fn display(&self, at: NodeIndex) -> NodeId {
        let mut id = self.step(at).id.clone();
        while let Some(grown) = self.find(&id).and_then(|at| self.grown(at)) {
            id = grown.display.clone();
        }
        id
    }

    /// Adds what a node puts in its place. Fails in words if a class or a source does not exist.
    pub(super) fn grow(
        &mut self,
        parent: NodeIndex,
        graph: Graph,
        folders: &FolderPaths,
    ) -> Result<Vec<NodeIndex>, String> {
        let first = self.plan.len() + self.grown.len();
        let made: Vec<_> = (first..first + graph.nodes.len()).map(NodeIndex::new).collect();
        for (id, at) in graph.nodes.keys().zip(&made) {
            if self.find(id).is_some() {
                return Err(format!("it made the node {id} twice; begin another graph for the second"));
            }
            self.ids.insert(id.clone(), *at);
        }
        let mut all_given = Vec::with_capacity(made.len());
        for (id, mut node) in graph.nodes {
            let class = self.plan.registry.class(&node.class);
            let class =
                class.ok_or_else(|| format!("it made a node of the class {}, which does not exist", node.class))?;
            let display = node.display.take().unwrap_or_else(|| self.step(parent).id.clone());
            let given = given(&node.inputs);
            let inputs = self.inputs(class, node, &given, folders)?;
            let step = Step { id, class, title: class.schema.display_name.clone(), inputs, key: Key::default() };
            self.grown.push(Grown { step, parent, display });
            all_given.push(given);
        }
        self.name_results(&made, &all_given, folders);
        Ok(made)
    }

    /// What feeds a node: what it was given, and the defaults of widgets that it was not.
    fn inputs(
        &self,
        class: &Class,
        node: GraphNode,
        given: &IndexMap<String, Given>,
        folders: &FolderPaths,
    ) -> Result<Vec<StepInput>, String> {
        let declared = live::inputs(&class.schema, given);
        let beside = undeclared(class, given, &declared);
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for Live { name, input, optional } in declared.into_iter().chain(beside) {
            let source = match node.inputs.get(&name) {
                Some(Feed::Value(value)) => Source::Constant(value.clone()),
                Some(Feed::Link(Link { node: from, slot })) => {
                    let found = self.find(from);
                    let from = found.ok_or_else(|| format!("it made a link to node {from}, which does not exist"))?;
                    Source::Link { from, slot: *slot }
                }
                None => match input.kind.default(folders) {
                    Some(default) if !optional && input.is_widget() => {
                        Source::Constant(constant::to_value(&input.kind, &default))
                    }
                    _ => continue,
                },
            };
            let place = node.inputs.get_index_of(&name).unwrap_or(node.inputs.len());
            inputs.push(StepInput { name, source, lazy: input.lazy, raw: input.raw_link, place });
        }
        Ok(inputs)
    }

    /// Finds the cache keys of new nodes, sources first. In a cycle, and where a value cannot be told from others, there is
    /// none: such results are not reused.
    fn name_results(&mut self, made: &[NodeIndex], given: &[IndexMap<String, Given>], folders: &FolderPaths) {
        let Some(first) = made.first().map(|at| at.index()) else { return };
        let mut graph: DiGraph<NodeIndex, ()> = DiGraph::new();
        let new: Vec<_> = made.iter().map(|at| graph.add_node(*at)).collect();
        for (at, to) in made.iter().zip(&new) {
            for from in self.step(*at).links().filter_map(|(from, _)| from.index().checked_sub(first)) {
                graph.add_edge(new[from], *to, ());
            }
        }
        let order = toposort(&graph, None);
        let circular = order.is_err();
        for at in order.unwrap_or_else(|_| graph.node_indices().collect()) {
            let key = self.key(made[at.index()], &given[at.index()], circular, folders);
            self.grown[first - self.plan.len() + at.index()].step.key = key;
        }
    }

    fn key(&self, at: NodeIndex, given: &IndexMap<String, Given>, circular: bool, folders: &FolderPaths) -> Key {
        let step = self.step(at);
        let mut key = KeyBuilder::new(step.class, &step.id, &self.plan.salt, folders);
        if circular {
            key.unique();
        }
        let declared = live::inputs(&step.class.schema, given);
        let kind = |name: &str| declared.iter().find(|live| live.name == name).map(|live| &live.input.kind);
        for StepInput { name, source, .. } in &step.inputs {
            match source {
                Source::Link { from, slot } => key.link(name, self.step(*from).key, *slot),
                Source::Constant(value) => match plain(value) {
                    Some(json) => key.constant(name, kind(name).unwrap_or(&UNKNOWN), &json),
                    None => key.unique(),
                },
            }
        }
        key.fingerprint(&step.class.fingerprint(&Offer { inputs: given, types: &|_, _| None }));
        key.finish()
    }
}

/// The kind of an input that the class does not declare.
static UNKNOWN: Kind = Kind::Socket(String::new());

/// The value as JSON, if that says all of it.
fn plain(value: &Value) -> Option<Json> {
    let whole = value.is_nothing() || value.downcast::<Json>().is_some();
    let number = value.downcast::<i128>().is_some() || value.downcast::<f64>().is_some_and(|float| float.is_finite());
    let known = whole || number || value.downcast::<bool>().is_some() || value.downcast::<String>().is_some();
    known.then(|| value.shown())
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
        inputs.sort_by_key(|input| input.place);
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
