//! One of the two that are compared: a workflow, a dump, or a case.

use std::path::Path;

use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::prompt::{NodeId, Prompt};
use redraft_engine::stock::Known;
use redraft_engine::workflow::{Context, LocalTime, read_value};
use redraft_nodes::files::tensor_file::load_with_texts;
use serde_json::Value as Json;

use crate::args::Changes;
use crate::case::{CASE, Case};
use crate::compare::Place;
use crate::compare::upstream::{only_needed, sources_first};
use crate::dump::{ORDER, PROMPT, Taken};
use crate::exit::{Outcome, Stop};
use crate::substitutes::Substitute;
use crate::workflow_file;

pub(super) struct Side {
    /// What it is called in messages.
    pub(super) name: String,
    /// The workflow; a dump may have none.
    pub(super) prompt: Option<Prompt>,
    /// What its nodes gave; nothing of a workflow until it ran.
    pub(super) taken: Option<Taken>,
    pub(super) case: Option<Case>,
    /// Tensors alone, without plain values.
    pub(super) is_dump: bool,
}

impl Side {
    /// Reads one side. A workflow is changed as `changes` and `substitutes` say; what was recorded cannot be.
    pub(super) fn read(
        path: &Path,
        changes: &Changes,
        substitutes: &[Substitute],
        registry: &Registry,
        folders: &FolderPaths,
    ) -> Outcome<Self> {
        let name = workflow_file::name(path);
        let load = |path: &Path, changes: &Changes, substitutes: &[Substitute]| {
            workflow_file::load(path, changes, substitutes, registry, folders, &mut |_| {})
        };
        let recorded = |what: &str| match changes.sets.is_empty() && changes.inputs.is_none() {
            true => Ok(()),
            false => Err(Stop::wrong(format!(
                "{name}: is {what}, in which --set and --inputs change nothing; name a workflow"
            ))),
        };
        if path.join(CASE).is_file() {
            recorded("a case")?;
            let mut case = Case::read(path)?;
            let prompt = load(&case.workflow, &Changes::default(), &[])?.prompt;
            let mut taken = std::mem::take(&mut case.expected);
            taken.order = order(&prompt);
            return Ok(Self { name, prompt: Some(prompt), taken: Some(taken), case: Some(case), is_dump: false });
        }
        if path.is_dir() {
            return Err(Stop::wrong(format!(
                "{name}: is a folder without a case.json; name a case, a workflow or a dump"
            )));
        }
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"))
            && let Some((taken, prompt)) = dump(path, registry, folders).map_err(|stop| stop.of_file(&name))?
        {
            recorded("a dump")?;
            return Ok(Self { name, prompt, taken: Some(taken), case: None, is_dump: true });
        }
        Ok(Self {
            name,
            prompt: Some(load(path, changes, substitutes)?.prompt),
            taken: None,
            case: None,
            is_dump: false,
        })
    }

    pub(super) fn has_outputs(&self) -> bool {
        self.taken.is_some()
    }

    /// Of a workflow, what nothing needs that saves or shows something.
    pub(super) fn leave_out_unneeded(&mut self, registry: &Registry) {
        let Some(prompt) = self.prompt.as_mut().filter(|_| self.case.is_none()) else { return };
        let mut wanted = outputs(prompt, registry);
        // Of a dump, nothing that was done.
        wanted.extend(self.taken.iter().flat_map(|taken| taken.order.iter().cloned()));
        if !wanted.is_empty() {
            *prompt = only_needed(prompt, &wanted);
        }
    }

    /// The nodes of which outputs are known.
    pub(super) fn known(&self) -> Vec<NodeId> {
        let (Some(taken), Some(prompt)) = (&self.taken, &self.prompt) else { return Vec::new() };
        let keys = taken.tensors.keys().chain(taken.plain.keys());
        let mut all: Vec<_> = keys.map(|key| Place::of_key(key, prompt).node).collect();
        all.dedup();
        all
    }
}

/// The nodes that save or show something.
pub(super) fn outputs(prompt: &Prompt, registry: &Registry) -> Vec<NodeId> {
    let is_output = |class: &str| Known(registry).declared(class).is_some_and(|schema| schema.output_node);
    prompt.nodes.iter().filter(|(_, node)| is_output(&node.class_type)).map(|(id, _)| id.clone()).collect()
}

fn order(prompt: &Prompt) -> Vec<NodeId> {
    sources_first(prompt).into_iter().cloned().collect()
}

/// What `run --dump` wrote: tensors, and in the header the order of the nodes and the workflow. Nothing if its tensors are not named as
/// outputs are.
fn dump(path: &Path, registry: &Registry, folders: &FolderPaths) -> Outcome<Option<(Taken, Option<Prompt>)>> {
    let Ok((tensors, texts)) = load_with_texts(path) else { return Ok(None) };
    let is_output = |key: &str| key.split('/').skip(1).any(|slot| slot.parse::<usize>().is_ok());
    if tensors.is_empty() || !tensors.keys().all(|key| is_output(key)) {
        return Ok(None);
    }
    let prompt = match texts.get(PROMPT).and_then(|text| serde_json::from_str::<Json>(text).ok()) {
        Some(json) => {
            let now = LocalTime { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0 };
            let context = Context { schemas: &Known(registry), folders, seed: 0, now };
            Some(read_value(&json, &context).map_err(Stop::wrong)?.prompt)
        }
        None => None,
    };
    let done = texts.get(ORDER).and_then(|text| serde_json::from_str::<Vec<NodeId>>(text).ok());
    let order = done.or_else(|| prompt.as_ref().map(order)).unwrap_or_default();
    Ok(Some((Taken { tensors, order, ..Taken::default() }, prompt)))
}
