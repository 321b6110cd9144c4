//! From a prompt to a graph that can run: everything that is wrong is found here, all at once, before anything runs.

use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use serde_json::{Map, json};

use crate::constant;
use crate::folders::FolderPaths;
use crate::io::Value;
use crate::key::{Key, KeyBuilder};
use crate::node::{Class, Registry};
use crate::problem::{Problem, ProblemKind, Problems};
use crate::prompt::{Given, NodeId, Prompt};
use crate::validate::Validator;

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

/// A checked workflow: a directed acyclic graph whose edges run from a source to who uses it.
pub struct Plan<'r> {
    graph: DiGraph<Step<'r>, usize>,
    order: Vec<NodeIndex>,
    targets: Vec<NodeIndex>,
    /// The prompt with its constants converted, as it stands in the metadata of saved files.
    pub prompt: Prompt,
}

impl std::fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.order.iter().map(|&i| &self.graph[i].id)).finish()
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
        let mut problems = unknown_classes(&prompt, registry);
        let targets = choose_targets(&prompt, registry, targets, &mut problems);
        let reachable = reachable(&prompt, &targets);
        let ids: Vec<&NodeId> = prompt.nodes.keys().filter(|id| reachable.contains(*id)).collect();
        problems.extend(cycles(&prompt, &ids));

        let mut converted = prompt.clone();
        let validator = Validator { prompt: &prompt, registry, folders };
        for id in &ids {
            problems.extend(validator.node(id, &mut converted.nodes[*id].inputs));
        }
        problems.retain(|problem| !tolerated(problem.kind));
        if !problems.is_empty() {
            let position: HashMap<&NodeId, usize> = prompt.nodes.keys().zip(0..).collect();
            problems.sort_by_key(|p| p.node.as_ref().and_then(|id| position.get(id)).copied());
            return Err(Problems(problems));
        }
        Ok(Self::of_checked(converted, &ids, registry, folders, &targets, salt))
    }

    fn of_checked(
        prompt: Prompt,
        ids: &[&NodeId],
        registry: &'r Registry,
        folders: &FolderPaths,
        targets: &[NodeId],
        salt: &str,
    ) -> Self {
        let mut skeleton: DiGraph<&NodeId, ()> = DiGraph::new();
        let index: HashMap<&NodeId, NodeIndex> = ids.iter().map(|&id| (id, skeleton.add_node(id))).collect();
        for &id in ids {
            for given in prompt.nodes[id].inputs.values() {
                if let Given::Link { node, .. } = given {
                    skeleton.add_edge(index[node], index[id], ());
                }
            }
        }
        // The graph below has the same indices: nodes are added in the same order.
        let order = toposort(&skeleton, None).unwrap_or_default();
        let mut keys: HashMap<NodeIndex, Key> = HashMap::new();
        let mut steps: HashMap<NodeIndex, Step<'r>> = HashMap::new();
        for &at in &order {
            let id = skeleton[at];
            if let Some(class) = registry.class(&prompt.nodes[id].class_type) {
                let step = plan_step(&prompt, id, class, &index, &keys, salt, folders);
                keys.insert(at, step.key);
                steps.insert(at, step);
            }
        }
        let graph = skeleton.filter_map(|at, _| steps.remove(&at), |_, ()| Some(0usize));
        let targets = targets.iter().filter_map(|id| index.get(id).copied()).collect();
        let mut plan = Self { graph, order, targets, prompt: prompt.clone() };
        plan.number_edges();
        plan
    }

    /// Gives every edge the slot it leaves from.
    fn number_edges(&mut self) {
        self.graph.clear_edges();
        for at in self.graph.node_indices() {
            let links: Vec<_> = self.graph[at]
                .inputs
                .iter()
                .filter_map(|(_, source)| match source {
                    Source::Link { from, slot } => Some((*from, *slot)),
                    Source::Constant(_) => None,
                })
                .collect();
            for (from, slot) in links {
                self.graph.add_edge(from, at, slot);
            }
        }
    }

    pub fn step(&self, at: NodeIndex) -> &Step<'r> {
        &self.graph[at]
    }

    /// What the run is for, in document order.
    pub fn targets(&self) -> &[NodeIndex] {
        &self.targets
    }

    /// Every node, sources first.
    pub fn order(&self) -> &[NodeIndex] {
        &self.order
    }

    /// The nodes whose outputs `at` takes, in the order of its inputs.
    pub fn sources(&self, at: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.graph[at].inputs.iter().filter_map(|(_, source)| match source {
            Source::Link { from, .. } => Some(*from),
            Source::Constant(_) => None,
        })
    }

    /// How many inputs take something from `at`.
    pub fn uses(&self, at: NodeIndex) -> usize {
        self.graph.edges(at).count()
    }
}

fn plan_step<'r>(
    prompt: &Prompt,
    id: &NodeId,
    class: &'r Class,
    index: &HashMap<&NodeId, NodeIndex>,
    keys: &HashMap<NodeIndex, Key>,
    salt: &str,
    folders: &FolderPaths,
) -> Step<'r> {
    let node = &prompt.nodes[id];
    let mut key = KeyBuilder::new(class, id, salt, folders);
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for input in &class.schema.inputs {
        match node.inputs.get(&input.name) {
            None => {}
            Some(Given::Link { node: from, slot }) => {
                let from = index[from];
                key.link(&input.name, keys[&from], *slot);
                inputs.push((input.name.clone(), Source::Link { from, slot: *slot }));
            }
            Some(Given::Constant(converted)) => {
                key.constant(&input.name, &input.kind, converted);
                let value = constant::to_value(&input.kind, converted);
                inputs.push((input.name.clone(), Source::Constant(value)));
            }
        }
    }
    let title = node.title.clone().unwrap_or_else(|| class.schema.display_name.clone());
    Step { id: id.clone(), class, title, inputs, key: key.finish() }
}

fn unknown_classes(prompt: &Prompt, registry: &Registry) -> Vec<Problem> {
    let unknown = prompt.nodes.iter().filter(|(_, node)| registry.class(&node.class_type).is_none());
    unknown
        .map(|(id, node)| {
            let class = &node.class_type;
            let hint = match registry.nearest(class) {
                Some(near) => format!("did you mean {near}? `redraft nodes` lists all"),
                None => "`redraft nodes` lists those that are known; remove or replace this one".to_owned(),
            };
            Problem {
                node: Some(id.clone()),
                class: class.clone(),
                input: None,
                kind: ProblemKind::UnknownClass,
                details: format!("Node ID '#{id}'"),
                extra: Map::new(),
                advice: format!("there is no node class {class} here; {hint}"),
            }
        })
        .collect()
}

fn whole_prompt(kind: ProblemKind, details: &str, advice: String) -> Problem {
    Problem {
        node: None,
        class: String::new(),
        input: None,
        kind,
        details: details.to_owned(),
        extra: Map::new(),
        advice,
    }
}

fn choose_targets(prompt: &Prompt, registry: &Registry, targets: &Targets, problems: &mut Vec<Problem>) -> Vec<NodeId> {
    let is_output = |class: &str| registry.class(class).is_some_and(|class| class.schema.output_node);
    let chosen: Vec<NodeId> = match targets {
        Targets::All => prompt.nodes.keys().cloned().collect(),
        Targets::Outputs => {
            let outputs = prompt.nodes.iter().filter(|(_, node)| is_output(&node.class_type));
            outputs.map(|(id, _)| id.clone()).collect()
        }
        Targets::Only(ids) => {
            for id in ids.iter().filter(|id| !prompt.nodes.contains_key(*id)) {
                let advice = format!("there is no node {id} in the workflow; name one that is");
                problems.push(whole_prompt(ProblemKind::UnknownTarget, id.as_str(), advice));
            }
            prompt.nodes.keys().filter(|id| ids.contains(id)).cloned().collect()
        }
    };
    // A node that is unknown might have been the output: then its own report is enough.
    if chosen.is_empty() && problems.is_empty() {
        let advice = "the workflow has no node that saves or shows something; add one such as SaveImage".to_owned();
        problems.push(whole_prompt(ProblemKind::NoOutputs, "", advice));
    }
    chosen
}

/// The targets and all nodes that they are linked to, directly or not.
fn reachable(prompt: &Prompt, targets: &[NodeId]) -> HashSet<NodeId> {
    let mut seen: HashSet<NodeId> = HashSet::new();
    let mut stack: Vec<&NodeId> = targets.iter().collect();
    while let Some(id) = stack.pop() {
        let Some((id, node)) = prompt.nodes.get_key_value(id) else { continue };
        if !seen.insert(id.clone()) {
            continue;
        }
        stack.extend(node.inputs.values().filter_map(|given| match given {
            Given::Link { node, .. } => Some(node),
            Given::Constant(_) => None,
        }));
    }
    seen
}

/// One problem per group of nodes that depend on each other, with the way round.
fn cycles(prompt: &Prompt, ids: &[&NodeId]) -> Vec<Problem> {
    let mut graph: DiGraph<&NodeId, &str> = DiGraph::new();
    let index: HashMap<&NodeId, NodeIndex> = ids.iter().map(|&id| (id, graph.add_node(id))).collect();
    for &id in ids {
        for (name, given) in &prompt.nodes[id].inputs {
            if let Given::Link { node, .. } = given
                && let Some(&from) = index.get(node)
            {
                graph.add_edge(from, index[id], name);
            }
        }
    }
    let groups = kosaraju_scc(&graph);
    let circular = groups.into_iter().filter(|group| group.len() > 1 || graph.contains_edge(group[0], group[0]));
    circular
        .map(|group| {
            let start = group.iter().copied().min().unwrap_or_default();
            let way: Vec<_> = way_round(&graph, start).iter().map(|&at| graph[at].to_string()).collect();
            let way = way.join(" -> ");
            let class = prompt.nodes[graph[start]].class_type.clone();
            let mut extra = Map::new();
            extra.insert("cycle".into(), json!(way));
            Problem {
                node: Some(graph[start].clone()),
                class,
                input: None,
                kind: ProblemKind::Cycle,
                details: way.clone(),
                extra,
                advice: format!("depends on itself: {way}; remove one of these links"),
            }
        })
        .collect()
}

/// The shortest way from `start` back to itself, both ends named.
fn way_round(graph: &DiGraph<&NodeId, &str>, start: NodeIndex) -> Vec<NodeIndex> {
    let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in graph.neighbors(at) {
            if next == start {
                let mut way = vec![start, at];
                let mut back = at;
                while back != start {
                    back = came_from[&back];
                    way.push(back);
                }
                way.reverse();
                return way;
            }
            came_from.entry(next).or_insert_with(|| {
                queue.push_back(next);
                at
            });
        }
    }
    vec![start]
}
