//! The checks of a whole prompt: what is wrong with it, all at once, and which of its outputs can be had regardless.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use crate::finding::Finding;
use crate::folders::FolderPaths;
use crate::foreign::Foreign;
use crate::links::Links;
use crate::names::nearest_mention;
use crate::node::{Flaw, Offer, Registry};
use crate::problem::{Problem, ProblemKind, Problems};
use crate::prompt::{Given, NodeId, Prompt, PromptNode, Targets};
use crate::schema::Folders;
use crate::stock::{self, Known, Stock, Version};
use crate::validate::Validator;

/// A prompt that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The prompt with its constants converted and without what the classes do not declare.
    pub prompt: Prompt,
    /// What was asked for, in document order.
    pub outputs: Vec<NodeId>,
    /// Those of the outputs that nothing is wrong with.
    pub good_outputs: Vec<NodeId>,
    /// Everything that is wrong, in document order.
    pub problems: Problems,
    /// Classes that nobody knows or that only packs have, of nodes that nothing needs which was asked for: they stop nothing.
    pub unneeded: Problems,
    /// What is wrong with the files that nodes will read, in document order: a run may begin, and ends at the node, or goes on without the
    /// file.
    pub flaws: Problems,
}

/// A prompt that can be planned: its constants are converted, and nothing is wrong with what the targets need. It may go to
/// another thread; a plan cannot.
#[derive(Clone, Debug, PartialEq)]
pub struct Runnable {
    pub prompt: Prompt,
    /// In document order.
    pub targets: Vec<NodeId>,
}

impl Checked {
    /// The outputs that cannot be had.
    pub fn dropped(&self) -> impl Iterator<Item = &NodeId> {
        self.outputs.iter().filter(|id| !self.good_outputs.contains(id))
    }

    /// What was asked for, if nothing is wrong.
    pub fn whole(self) -> Result<Runnable, Problems> {
        match self.problems.0.is_empty() {
            true => Ok(Runnable { prompt: self.prompt, targets: self.outputs }),
            false => Err(self.problems),
        }
    }

    /// The outputs that nothing is wrong with, as ComfyUI runs them.
    ///
    /// # Errors
    /// Everything that is wrong, if there is no such output.
    pub fn partial(&self) -> Result<Runnable, &Problems> {
        match self.good_outputs.is_empty() {
            true => Err(&self.problems),
            false => Ok(Runnable { prompt: self.prompt.clone(), targets: self.good_outputs.clone() }),
        }
    }
}

/// Checks everything that the targets need, without running or loading anything.
pub fn check(prompt: &Prompt, registry: &Registry, folders: &FolderPaths, targets: &Targets) -> Checked {
    let known = Known(registry);
    let links = Links::of(prompt);
    let mut problems = unknown_classes(prompt, known);
    let unknown: Vec<_> = problems.iter().filter_map(|problem| problem.node.clone()).collect();
    let outputs = choose(prompt, known, targets, &mut problems);
    let mut unneeded = Vec::new();
    // Where there is no output, a node of an unknown class may be one: what it needs is checked, too.
    let reachable = match outputs.is_empty() {
        true => links.needed_by(&unknown),
        false => links.needed_by(&outputs),
    };
    if !outputs.is_empty() {
        let stops = |problem: &Problem| problem.node.as_ref().is_none_or(|id| reachable.contains(id));
        (problems, unneeded) = problems.into_iter().partition(stops);
    }
    let ids: Vec<&NodeId> = prompt.nodes.keys().filter(|id| reachable.contains(*id)).collect();
    problems.extend(ids.iter().filter_map(|id| not_runnable(id, &prompt.nodes[*id], known)));
    problems.extend(cycles(prompt, &links, &reachable));
    let mut converted = prompt.clone();
    let validator = Validator { prompt, known, folders };
    for id in &ids {
        problems.extend(validator.node(id, &mut converted.nodes[*id].inputs));
    }
    let position: HashMap<&NodeId, usize> = prompt.nodes.keys().zip(0..).collect();
    problems.sort_by_key(|p| p.node.as_ref().and_then(|id| position.get(id)).copied());
    for problem in &mut problems {
        let Some(node) = &problem.node else { continue };
        let needing = links.that_need(node);
        problem.dependent_outputs = outputs.iter().filter(|id| needing.contains(*id)).cloned().collect();
    }
    let whole = problems.iter().any(|p| p.node.is_none());
    let bad: HashSet<&NodeId> = problems.iter().flat_map(|problem| &problem.dependent_outputs).collect();
    let good_outputs = outputs.iter().filter(|id| !whole && !bad.contains(id)).cloned().collect();
    for problem in &mut problems {
        reword_inner(problem, &links, &reachable, &outputs, prompt, known, folders);
    }
    let flaws = ids.iter().flat_map(|id| flaws(id, &converted.nodes[*id], known, folders)).collect();
    let (problems, unneeded, flaws) = (Problems(problems), Problems(unneeded), Problems(flaws));
    Checked { prompt: converted, outputs, good_outputs, problems, unneeded, flaws }
}

/// What a node says of the files that it will read.
fn flaws(id: &NodeId, node: &PromptNode, known: Known<'_>, folders: &FolderPaths) -> Vec<Problem> {
    let Some(class) = known.runnable(&node.class_type) else { return Vec::new() };
    let found = class.flaws(&Offer { inputs: &node.inputs, types: &|_, _| None }, folders);
    let problem = |Flaw { input, folder, name, unusable }: Flaw| {
        let about = |near: Option<&str>| {
            let about = [("folder", json!(folder)), ("name", json!(name)), ("nearest", json!(near))];
            about.into_iter().filter(|(_, value)| !value.is_null())
        };
        let finding = match &unusable {
            Some(why) => {
                let advice = format!("names the file \"{name}\", which cannot be used: {why}");
                Finding::new(ProblemKind::FileUnusable, format!("{input}: '{name}'"), advice).about(about(None))
            }
            None => {
                let list = folders.list(folder);
                let near = nearest_mention(&name, &list);
                let hint = near.map(|near| format!(" (there is '{near}')")).unwrap_or_default();
                let advice =
                    format!("mentions \"{name}\", which is not among the {folder}{hint}; it counts for nothing");
                Finding::new(ProblemKind::MentionMissing, format!("{input}: '{name}'"), advice).about(about(near))
            }
        };
        finding.problem(Some((id, &node.class_type)), Some(&input))
    };
    found.into_iter().map(problem).collect()
}

/// ComfyUI finds an exception at a node that is no output while it validates a node that uses it: its words then say by which
/// input it came there.
fn reword_inner(
    problem: &mut Problem,
    links: &Links<'_>,
    reachable: &HashSet<NodeId>,
    outputs: &[NodeId],
    prompt: &Prompt,
    known: Known<'_>,
    folders: &FolderPaths,
) {
    let Some(node) = &problem.node else { return };
    if problem.kind != ProblemKind::DanglingLink || outputs.contains(node) {
        return;
    }
    let Some(link) = links.first_of(node, reachable) else { return };
    let class = &prompt.nodes[link.user].class_type;
    let input = known.declared(class).and_then(|schema| schema.input(link.input));
    problem.comfy_type = "exception_during_inner_validation".into();
    problem.message = "Exception when validating inner node".to_owned();
    problem.extra.insert("input_name".into(), json!(link.input));
    problem.extra.insert("exception_message".into(), json!(problem.details));
    problem.extra.insert("linked_node".into(), json!([node, link.slot]));
    if let Some(input) = input {
        problem.extra.insert("input_config".into(), stock::config(class, input, link.input, folders));
    }
}

/// Nodes of classes that nobody knows, and of classes that are known from packs alone.
fn unknown_classes(prompt: &Prompt, known: Known<'_>) -> Vec<Problem> {
    let unknown = prompt.nodes.iter().filter(|(_, node)| !known.is_own(&node.class_type));
    unknown
        .map(|(id, node)| {
            let class = &node.class_type;
            if let Some(foreign) = known.foreign(class) {
                return of_a_pack(id, class, foreign);
            }
            let hint = match known.0.nearest(class) {
                Some(near) => format!("did you mean {near}? `redraft nodes` lists all"),
                None => "`redraft nodes` lists those that are known; remove or replace this one".to_owned(),
            };
            let shown: String = class.chars().take(100).collect();
            let cut = if shown.len() < class.len() { "..." } else { "" };
            let advice = format!("there is no node class {shown}{cut} here; {hint}");
            class_problem(ProblemKind::UnknownClass, id, class, advice)
        })
        .collect()
}

fn of_a_pack(id: &NodeId, class: &str, foreign: Foreign) -> Problem {
    let advice = format!(
        "{class} is {}: redraft cannot run it; `redraft nodes` lists those that it can; remove or replace this one",
        foreign.describe()
    );
    let mut problem = class_problem(ProblemKind::NotRunnable, id, class, advice);
    problem.about.insert("pack".into(), json!(foreign.pack.name));
    problem
}

fn not_runnable(id: &NodeId, node: &PromptNode, known: Known<'_>) -> Option<Problem> {
    let class = &node.class_type;
    if known.runnable(class).is_some() || !known.is_own(class) {
        return None;
    }
    let advice = match Stock::version(class).filter(|version| *version > Version::HERE) {
        Some(version) => format!(
            "{class} is a node of ComfyUI {version}, newer than {}, by whose nodes redraft runs, and is not there yet; `redraft nodes` \
             lists those that are",
            Version::HERE
        ),
        None => format!(
            "{class} is one of ComfyUI's own nodes, which redraft cannot run yet; `redraft nodes` lists those that it can"
        ),
    };
    Some(class_problem(ProblemKind::NotRunnable, id, class, advice))
}

fn class_problem(kind: ProblemKind, id: &NodeId, class: &str, advice: String) -> Problem {
    let mut finding = Finding::new(kind, format!("Node ID '#{id}'"), advice);
    finding.message = Some(format!("Cannot execute because node {class} does not exist.").into());
    finding.problem(Some((id, class)), None)
}

fn choose(prompt: &Prompt, known: Known<'_>, targets: &Targets, problems: &mut Vec<Problem>) -> Vec<NodeId> {
    // Like a node that nobody knows, one of a pack stops nothing where something else is asked for.
    let is_output = |class: &str| known.is_own(class) && known.declared(class).is_some_and(|schema| schema.output_node);
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

/// The nodes beyond `planned` that the workflow's other outputs need. They do not run now, but what an earlier run left of them
/// is worth keeping. A node with a problem is left out, and so is every node that needs it. Sources come first, and inputs are
/// converted.
pub(crate) fn beside(
    prompt: &Prompt,
    links: &Links<'_>,
    registry: &Registry,
    folders: &FolderPaths,
    planned: &HashSet<NodeId>,
) -> Vec<(NodeId, PromptNode)> {
    let known = Known(registry);
    let outputs = choose(prompt, known, &Targets::Outputs, &mut Vec::new());
    let reachable = links.needed_by(&outputs);
    if reachable.is_subset(planned) {
        return Vec::new();
    }
    let validator = Validator { prompt, known, folders };
    let mut sound = planned.clone();
    let mut found = Vec::new();
    for id in links.sources_first(&reachable).into_iter().filter(|id| !planned.contains(*id)) {
        let mut node = prompt.nodes[id].clone();
        let wrong = known.runnable(&node.class_type).is_none() || !validator.node(id, &mut node.inputs).is_empty();
        let sources = || node.inputs.values().filter_map(Given::source);
        if !wrong && sources().all(|source| sound.contains(source)) {
            sound.insert(id.clone());
            found.push((id.clone(), node));
        }
    }
    found
}

/// One problem for each group of nodes that depend on each other, with the way round.
fn cycles(prompt: &Prompt, links: &Links<'_>, reachable: &HashSet<NodeId>) -> Vec<Problem> {
    let each = links.cycles(reachable).into_iter().map(|way| {
        let ids: Vec<_> = way.iter().map(|id| id.as_str()).collect();
        let text = ids.join(" -> ");
        let advice = format!("depends on itself: {text}; remove one of these links");
        let mut finding = Finding::new(ProblemKind::Cycle, text.clone(), advice);
        finding.extra.push(("cycle", json!(text)));
        finding.problem(Some((way[0], &prompt.nodes[way[0]].class_type)), None)
    });
    each.collect()
}
