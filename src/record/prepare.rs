//! What is recorded of a workflow, found and checked before anything runs.

use std::path::Path;

use redraft_engine::check::{Runnable, check};
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::prompt::{NodeId, Prompt, Targets};
use redraft_engine::settable::Addresses;
use redraft_engine::stock::Known;
use redraft_engine::workflow::Severity;

use super::boundaries::Boundaries;
use crate::args::RecordArgs;
use crate::case::{Picture, take_in};
use crate::compare::upstream::only_needed;
use crate::exit::{Outcome, Stop};
use crate::session::of_problems;
use crate::substitutes::Substitute;
use crate::workflow_file;

/// A workflow that can be recorded.
pub(super) struct Prepared {
    /// What it is called in messages.
    pub(super) name: String,
    /// What the targets need, and nothing else; it names the pictures as the case does.
    pub(super) runnable: Runnable,
    pub(super) boundaries: Boundaries,
    pub(super) pictures: Vec<Picture>,
}

pub(super) fn prepare(
    args: &RecordArgs,
    file: &Path,
    substitutes: &[Substitute],
    registry: &Registry,
    folders: &FolderPaths,
    note: impl Fn(String),
) -> Outcome<Prepared> {
    let name = workflow_file::name(file);
    let workflow = workflow_file::load(file, &args.changes, substitutes, registry, folders, &mut |text| note(text))?;
    for remark in workflow.remarks.iter().filter(|remark| remark.severity == Severity::Warning) {
        note(format!("warning: {remark}"));
    }
    let (targets, boundaries) = aims(&args.nodes, &workflow.prompt, registry).map_err(|stop| stop.of_file(&name))?;
    let checked = check(&workflow.prompt, registry, folders, &targets);
    checked.flaws.0.iter().for_each(|flaw| note(format!("warning: {flaw}")));
    let Runnable { prompt, targets } = checked
        .whole()
        .map_err(|mut problems| of_problems(&mut problems, workflow.workflow_json.as_ref()).of_file(&name))?;
    let mut prompt = only_needed(&prompt, &targets);
    let boundaries = boundaries.unwrap_or_else(|| Boundaries::usual(&prompt, &targets, registry));
    let pictures = take_in(&mut prompt, registry, folders).map_err(|stop| stop.of_file(&name))?;
    Ok(Prepared { name, runnable: Runnable { prompt, targets }, boundaries, pictures })
}

/// What is run, and at which nodes something is expected, where the command says so.
fn aims(nodes: &[String], prompt: &Prompt, registry: &Registry) -> Outcome<(Targets, Option<Boundaries>)> {
    if nodes.is_empty() {
        return Ok((Targets::Outputs, None));
    }
    let known = Known(registry);
    let addresses = Addresses::new(prompt, &known);
    let found = nodes.iter().map(|name| match addresses.node(name) {
        Ok(id) => Ok(id.clone()),
        Err(why) => Err(Stop::wrong(format!("--node '{name}': {why}"))),
    });
    let found = found.collect::<Outcome<Vec<NodeId>>>()?;
    let boundaries = Boundaries::chosen(&found, prompt, registry);
    Ok((Targets::Only(found), Some(boundaries)))
}
