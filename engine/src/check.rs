//! The checks of a whole prompt: what is wrong with it, all at once, and which of its outputs can be had regardless.

use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use serde_json::json;

use crate::folders::FolderPaths;
use crate::node::Registry;
use crate::problem::{Problem, ProblemKind, Problems};
use crate::prompt::{Given, NodeId, Prompt, PromptNode, Targets};
use crate::stock::{self, Known};
use crate::validate::{Finding, Validator};

/// A prompt that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The prompt with its constants converted and without what the classes do not declare.
    pub prompt: Prompt,
    /// What was asked for, in document order.
    pub outputs: Vec<NodeId>,
    /// Those of the outputs that nothing is wrong with. As in ComfyUI there are none where a class is unknown.
    pub good_outputs: Vec<NodeId>,
    /// Everything that is wrong, in document order.
    pub problems: Problems,
}

impl Checked {
    /// The outputs that cannot be had.
    pub fn dropped(&self) -> impl Iterator<Item = &NodeId> {
        self.outputs.iter().filter(|id| !self.good_outputs.contains(id))
    }
}

/// Checks everything that the targets need, without running or loading anything.
pub fn check(prompt: &Prompt, registry: &Registry, folders: &FolderPaths, targets: &Targets) -> Checked {
    let known = Known(registry);
    let mut problems = unknown_classes(prompt, known);
    let foreign: Vec<_> = problems.iter().filter_map(|problem| problem.node.clone()).collect();
    let outputs = choose(prompt, known, targets, &mut problems);
    // What a foreign node needs is checked, too: it may be an output.
    let reachable = reachable(prompt, outputs.iter().chain(&foreign));
    let ids: Vec<&NodeId> = prompt.nodes.keys().filter(|id| reachable.contains(*id)).collect();
    problems.extend(ids.iter().filter_map(|id| not_runnable(id, &prompt.nodes[*id], known)));
    problems.extend(cycles(prompt, &ids));
    let mut converted = prompt.clone();
    let validator = Validator { prompt, known, folders };
    for id in &ids {
        problems.extend(validator.node(id, &mut converted.nodes[*id].inputs));
    }
    let position: HashMap<&NodeId, usize> = prompt.nodes.keys().zip(0..).collect();
    problems.sort_by_key(|p| p.node.as_ref().and_then(|id| position.get(id)).copied());
    let uses = Uses::new(prompt, &ids);
    for problem in &mut problems {
        let Some(node) = &problem.node else { continue };
        let reached = uses.behind(node);
        problem.dependent_outputs = outputs.iter().filter(|id| reached.contains(*id)).cloned().collect();
    }
    let whole = problems.iter().any(|p| p.node.is_none() || p.kind == ProblemKind::UnknownClass);
    let bad: HashSet<&NodeId> = problems.iter().flat_map(|problem| &problem.dependent_outputs).collect();
    let good_outputs = outputs.iter().filter(|id| !whole && !bad.contains(id)).cloned().collect();
    for problem in &mut problems {
        uses.of_inner_node(problem, &outputs, known, folders);
    }
    Checked { prompt: converted, outputs, good_outputs, problems: Problems(problems) }
}

/// Who takes something from each node: the node, its class and the input.
struct Uses<'a> {
    prompt: &'a Prompt,
    of: HashMap<&'a NodeId, Vec<(&'a NodeId, &'a str, usize)>>,
}

impl<'a> Uses<'a> {
    fn new(prompt: &'a Prompt, ids: &[&'a NodeId]) -> Self {
        let mut of: HashMap<_, Vec<_>> = HashMap::new();
        for &id in ids {
            for (name, given) in &prompt.nodes[id].inputs {
                if let Given::Link { node, slot } = given {
                    of.entry(node).or_default().push((id, name.as_str(), *slot));
                }
            }
        }
        Self { prompt, of }
    }

    /// A node and all that depend on it, directly or not.
    fn behind<'b>(&'b self, node: &'b NodeId) -> HashSet<&'b NodeId> {
        let mut seen = HashSet::from([node]);
        let mut stack = vec![node];
        while let Some(at) = stack.pop() {
            let next = self.of.get(at).into_iter().flatten().map(|(id, ..)| *id);
            stack.extend(next.filter(|id| seen.insert(*id)));
        }
        seen
    }

    /// An exception at a node that is no output is one of who uses it, in ComfyUI's words: it says by which input it came
    /// there.
    fn of_inner_node(&self, problem: &mut Problem, outputs: &[NodeId], known: Known<'_>, folders: &FolderPaths) {
        let Some(node) = &problem.node else { return };
        if problem.kind != ProblemKind::DanglingLink || outputs.contains(node) {
            return;
        }
        let Some((user, name, slot)) = self.of.get(node).and_then(|users| users.first()) else { return };
        let class = &self.prompt.nodes[*user].class_type;
        let input = known.declared(class).and_then(|schema| schema.input(name));
        problem.comfy_type = "exception_during_inner_validation";
        problem.message = "Exception when validating inner node".to_owned();
        problem.extra.insert("input_name".into(), json!(name));
        problem.extra.insert("exception_message".into(), json!(problem.details));
        problem.extra.insert("linked_node".into(), json!([node, slot]));
        if let Some(input) = input {
            problem.extra.insert("input_config".into(), stock::config(class, input, name, folders));
        }
    }
}

fn unknown_classes(prompt: &Prompt, known: Known<'_>) -> Vec<Problem> {
    let unknown = prompt.nodes.iter().filter(|(_, node)| known.declared(&node.class_type).is_none());
    unknown
        .map(|(id, node)| {
            let class = &node.class_type;
            let hint = match known.0.nearest(class) {
                Some(near) => format!("did you mean {near}? `redraft nodes` lists all"),
                None => "`redraft nodes` lists those that are known; remove or replace this one".to_owned(),
            };
            let advice = format!("there is no node class {class} here; {hint}");
            class_problem(ProblemKind::UnknownClass, id, class, advice)
        })
        .collect()
}

fn not_runnable(id: &NodeId, node: &PromptNode, known: Known<'_>) -> Option<Problem> {
    let class = &node.class_type;
    if known.runnable(class).is_some() || known.declared(class).is_none() {
        return None;
    }
    let advice = format!(
        "{class} is one of ComfyUI's own nodes, which redraft cannot run yet; `redraft nodes` lists those that it can"
    );
    Some(class_problem(ProblemKind::NotRunnable, id, class, advice))
}

fn class_problem(kind: ProblemKind, id: &NodeId, class: &str, advice: String) -> Problem {
    let mut finding = Finding::new(kind, format!("Node ID '#{id}'"), advice);
    finding.message = Some(format!("Cannot execute because node {class} does not exist.").into());
    finding.problem(Some((id, class)), None)
}

fn choose(prompt: &Prompt, known: Known<'_>, targets: &Targets, problems: &mut Vec<Problem>) -> Vec<NodeId> {
    let is_output = |class: &str| known.declared(class).is_some_and(|schema| schema.output_node);
    let chosen: Vec<NodeId> = match targets {
        Targets::All => prompt.nodes.keys().cloned().collect(),
        Targets::Outputs => {
            let outputs = prompt.nodes.iter().filter(|(_, node)| is_output(&node.class_type));
            outputs.map(|(id, _)| id.clone()).collect()
        }
        Targets::Only(ids) => {
            for id in ids.iter().filter(|id| !prompt.nodes.contains_key(*id)) {
                let advice = format!("there is no node {id} in the workflow; name one that is");
                problems.push(Finding::new(ProblemKind::UnknownTarget, id.as_str(), advice).problem(None, None));
            }
            prompt.nodes.keys().filter(|id| ids.contains(id)).cloned().collect()
        }
    };
    // A node that is unknown might have been the output: then its own report is enough.
    if chosen.is_empty() && problems.is_empty() {
        let advice = "the workflow has no node that saves or shows something; add one such as SaveImage";
        problems.push(Finding::new(ProblemKind::NoOutputs, "", advice).problem(None, None));
    }
    chosen
}

/// The nodes that other outputs than the targets need, as far as nothing is wrong with them: they do not run, but results of
/// theirs from an earlier run are worth keeping. Their inputs converted, sources first.
pub(crate) fn beside(
    prompt: &Prompt,
    registry: &Registry,
    folders: &FolderPaths,
    reached: &HashSet<NodeId>,
) -> Vec<(NodeId, PromptNode)> {
    let known = Known(registry);
    let outputs = choose(prompt, known, &Targets::Outputs, &mut Vec::new());
    let reachable = reachable(prompt, &outputs);
    if reachable.is_subset(reached) {
        return Vec::new();
    }
    let validator = Validator { prompt, known, folders };
    let mut sound = reached.clone();
    let mut found = Vec::new();
    for id in sources_first(prompt, &reachable).into_iter().filter(|id| !reached.contains(id)) {
        let mut node = prompt.nodes[&id].clone();
        let wrong = known.runnable(&node.class_type).is_none() || !validator.node(&id, &mut node.inputs).is_empty();
        let sources = || node.inputs.values().filter_map(Given::source);
        if !wrong && sources().all(|source| sound.contains(source)) {
            sound.insert(id.clone());
            found.push((id, node));
        }
    }
    found
}

/// The nodes among `wanted` in an order in which each comes after those that it is linked to; none if they form a cycle.
pub(crate) fn sources_first(prompt: &Prompt, wanted: &HashSet<NodeId>) -> Vec<NodeId> {
    let mut graph: DiGraph<&NodeId, ()> = DiGraph::new();
    let ids = prompt.nodes.keys().filter(|id| wanted.contains(*id));
    let index: HashMap<&NodeId, NodeIndex> = ids.map(|id| (id, graph.add_node(id))).collect();
    let order: Vec<NodeIndex> = graph.node_indices().collect();
    for at in order {
        for source in prompt.nodes[graph[at]].inputs.values().filter_map(Given::source) {
            if let Some(from) = index.get(source) {
                graph.add_edge(*from, at, ());
            }
        }
    }
    toposort(&graph, None).unwrap_or_default().into_iter().map(|at| graph[at].clone()).collect()
}

/// The given nodes and all that they are linked to, directly or not.
pub(crate) fn reachable<'a>(prompt: &'a Prompt, from: impl IntoIterator<Item = &'a NodeId>) -> HashSet<NodeId> {
    let mut seen: HashSet<NodeId> = HashSet::new();
    let mut stack: Vec<&NodeId> = from.into_iter().collect();
    while let Some(id) = stack.pop() {
        let Some((id, node)) = prompt.nodes.get_key_value(id) else { continue };
        if !seen.insert(id.clone()) {
            continue;
        }
        stack.extend(node.inputs.values().filter_map(Given::source));
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
            let advice = format!("depends on itself: {way}; remove one of these links");
            let mut finding = Finding::new(ProblemKind::Cycle, way.clone(), advice);
            finding.extra.push(("cycle", json!(way)));
            finding.problem(Some((graph[start], &prompt.nodes[graph[start]].class_type)), None)
        })
        .collect()
}

/// The shortest way from `start` back to itself, both ends named.
pub(crate) fn way_round<N, E>(graph: &DiGraph<N, E>, start: NodeIndex) -> Vec<NodeIndex> {
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
