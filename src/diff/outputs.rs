//! What the nodes of two sides gave, and where that parts first.

use std::collections::HashSet;

use indexmap::IndexMap;
use redraft_engine::cx::Cancel;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::prompt::{NodeId, Prompt, Targets};
use serde_json::{Value as Json, json};

use super::graphs::Graphs;
use super::side::{Side, outputs};
use crate::args::DiffArgs;
use crate::bench::Bench;
use crate::compare::cause::{Cause, Evidence};
use crate::compare::changed::{Change, ChangeKind, Changed};
use crate::compare::upstream::only_needed;
use crate::compare::{Deviation, Place, compare};
use crate::dump::Taken;
use crate::exit::{Outcome, Stop};
use crate::named::named_files;
use crate::session::{self, of_problems};
use crate::worker::Line;

pub(super) struct Outputs {
    /// In execution order.
    deviations: Vec<Deviation>,
    cause: Option<Cause>,
    /// How many are in B alone, of nodes that both sides have.
    only_b: usize,
}

impl Outputs {
    /// Runs the sides that are workflows, and compares.
    pub(super) fn of(
        (a, b): (&mut Side, &mut Side),
        graphs: Option<&Graphs>,
        args: &DiffArgs,
        registry: &Registry,
        folders: FolderPaths,
        line: &Line,
        cancel: &Cancel,
    ) -> Outcome<Self> {
        let mut bench = Bench::open(folders, session::device(&args.compute)?)?;
        let to_b = |id: &NodeId| graphs.map_or(Some(id.clone()), |graphs| graphs.ids.get(id).cloned());
        let to_a = |id: &NodeId| match graphs {
            Some(graphs) => graphs.ids.iter().find(|(_, now)| *now == id).map(|(before, _)| before.clone()),
            None => Some(id.clone()),
        };
        let (known_a, known_b) = (a.known(), b.known());
        run(a, known_b.iter().filter_map(to_a).collect(), &mut bench, registry, line, cancel)?;
        run(b, known_a.iter().filter_map(to_b).collect(), &mut bench, registry, line, cancel)?;
        let tolerance =
            args.tolerance.or_else(|| [&*a, &*b].iter().find_map(|side| Some(side.case.as_ref()?.tolerance)));
        let none = Prompt::default();
        let empty = Taken::default();
        let (taken_a, taken_b) = (a.taken.as_ref().unwrap_or(&empty), b.taken.as_ref().unwrap_or(&empty));
        let mut expected = renamed(taken_a, a.prompt.as_ref().unwrap_or(&none), to_b);
        let prompt = b.prompt.as_ref().unwrap_or(&none);
        let mut found = renamed(taken_b, &none, |id: &NodeId| Some(id.clone()));
        found.order.clone_from(&taken_b.order);
        // A case knows some outputs, and a run all: those that both know are compared.
        if b.case.is_some() {
            keep_outputs_of(&mut expected, &found, prompt);
        }
        // A dump has no plain values.
        if a.is_dump || b.is_dump {
            expected.plain.clear();
            found.plain.clear();
        }
        let deviations = compare(&expected, &found, tolerance.unwrap_or(0.0), prompt);
        let only_b = match a.case.is_none() && b.case.is_none() {
            true => in_b_alone(&deviations, &found, prompt, |id| {
                graphs.is_none() || to_a(id).is_some_and(|id| taken_a.order.contains(&id))
            }),
            false => 0,
        };
        let first = deviations.iter().find(|deviation| deviation.is_beyond());
        let cause = first.zip(graphs).map(|(first, graphs)| {
            let changed = with_files(graphs, (a, b), registry, &bench);
            let surroundings = surroundings(a, b, &bench);
            let evidence = Evidence {
                prompt,
                changed: &changed,
                deviations: &deviations,
                found: taken_b,
                edited: a.case.as_ref().is_some_and(|case| case.edited),
                surroundings: &surroundings,
            };
            evidence.cause(&first.place.node)
        });
        Ok(Self { deviations, cause, only_b })
    }

    pub(super) fn are_equal(&self) -> bool {
        self.only_b == 0 && self.first().is_none()
    }

    fn first(&self) -> Option<&Deviation> {
        self.deviations.iter().find(|deviation| deviation.is_beyond())
    }

    fn beyond(&self) -> usize {
        self.deviations.iter().filter(|deviation| deviation.is_beyond()).count()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(first) = self.first() {
            let cause = self.cause.as_ref().map(|cause| format!("; {cause}")).unwrap_or_default();
            lines.push(format!("first to part: {first}{cause}"));
        }
        if self.only_b > 0 {
            lines.push(format!("{} outputs are in B alone", self.only_b));
        }
        lines.push(match self.beyond() {
            0 => format!("no output of {} parts", self.deviations.len()),
            beyond => format!("{beyond} of {} outputs part", self.deviations.len()),
        });
        lines
    }

    pub(super) fn to_json(&self) -> Json {
        json!({
            "equal": self.are_equal(), "compared": self.deviations.len(), "beyond": self.beyond(), "only_in_b": self.only_b,
            "first_difference": self.first().map(Deviation::to_json), "cause": self.cause,
        })
    }
}

/// Runs a side that is a workflow: what it saves or shows, what else is known of the other, and all that these need.
fn run(
    side: &mut Side,
    known: Vec<NodeId>,
    bench: &mut Bench,
    registry: &Registry,
    line: &Line,
    cancel: &Cancel,
) -> Outcome<()> {
    let (Some(prompt), None) = (&side.prompt, &side.taken) else { return Ok(()) };
    let mut targets = outputs(prompt, registry);
    targets.extend(known);
    let salt = session::salt(&bench.engine);
    // Every node is a target, so that its outputs are told also where they are at hand from the other side.
    let needed = only_needed(prompt, &targets);
    let plan = Plan::new(needed, registry, &bench.engine.folders, &Targets::All, &salt);
    let plan = plan.map_err(|mut problems| of_problems(&mut problems, None).of_file(&side.name))?;
    line.at(&side.name);
    let ran = bench.run(&plan, line, cancel).map_err(|stop: Stop| stop.of_file(&side.name))?;
    side.taken = Some(ran.taken);
    Ok(())
}

/// What nodes of A gave, under the ids that they have in B; without those that B lacks.
fn renamed(taken: &Taken, prompt: &Prompt, to_b: impl Fn(&NodeId) -> Option<NodeId>) -> Taken {
    let key = |key: &str| {
        let place = Place::of_key(key, prompt);
        // Nodes that were made at run time are in no workflow.
        let now = if prompt.nodes.is_empty() { Some(place.node.clone()) } else { to_b(&place.node) };
        now.map(|now| format!("{now}{}", &key[place.node.as_str().len()..]))
    };
    let tensors: IndexMap<_, _> =
        taken.tensors.iter().filter_map(|(k, tensor)| Some((key(k)?, tensor.shallow_clone()))).collect();
    let plain = taken.plain.iter().filter_map(|(k, json)| Some((key(k)?, json.clone()))).collect();
    Taken { tensors, plain, ..Taken::default() }
}

/// Leaves the outputs of which something was found.
fn keep_outputs_of(taken: &mut Taken, found: &Taken, prompt: &Prompt) {
    let output = |key: &String| {
        let Place { node, slot, .. } = Place::of_key(key, prompt);
        (node, slot)
    };
    let known: HashSet<_> = found.tensors.keys().chain(found.plain.keys()).map(output).collect();
    taken.tensors.retain(|key, _| known.contains(&output(key)));
    taken.plain.retain(|key, _| known.contains(&output(key)));
}

/// How many parts of outputs there are that nothing was compared with, of nodes that `has` says A has as well.
fn in_b_alone(deviations: &[Deviation], found: &Taken, prompt: &Prompt, has: impl Fn(&NodeId) -> bool) -> usize {
    let compared: HashSet<&str> = deviations.iter().map(|deviation| deviation.key.as_str()).collect();
    let others = found.tensors.keys().chain(found.plain.keys()).filter(|key| !compared.contains(key.as_str()));
    others.filter(|key| has(&Place::of_key(key, prompt).node)).count()
}

/// The changes of the workflows, and of the files whose digests a case holds.
fn with_files(graphs: &Graphs, (a, b): (&Side, &Side), registry: &Registry, bench: &Bench) -> Changed {
    let mut changed = graphs.changed.clone();
    let Some(prompt) = &b.prompt else { return changed };
    let before = |folder: &str, name: &str| digest_in(a, folder, name);
    for file in named_files(prompt, registry, &bench.engine.folders) {
        let Some(was) = before(&file.folder, &file.name) else { continue };
        let now = match &b.case {
            Some(_) => digest_in(b, &file.folder, &file.name),
            None => file.digest(&bench.engine.folders).map(|digest| digest.blake3),
        };
        if now.is_some_and(|now| now != was) {
            let kind = if file.is_users() { ChangeKind::Picture } else { ChangeKind::Model };
            let words = format!("{} {} is another file in A and in B", file.folder, file.name);
            changed.add(&file.node, Change { kind, input: Some(file.input.clone()), words });
        }
    }
    changed
}

fn digest_in(side: &Side, folder: &str, name: &str) -> Option<String> {
    let file = &side.case.as_ref()?.file;
    let mut all = file.models.iter().chain(&file.pictures);
    all.find(|known| known.folder == folder && known.name == name).map(|known| known.blake3.clone())
}

fn surroundings(a: &Side, b: &Side, bench: &Bench) -> String {
    let recorded = |side: &Side| Some(side.case.as_ref()?.file.recorded.as_ref()?.surroundings.clone());
    match (recorded(a), recorded(b)) {
        (Some(before), Some(now)) => now.differences(&before),
        (Some(before), None) => bench.surroundings().differences(&before),
        _ => String::new(),
    }
}
