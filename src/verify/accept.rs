//! `verify --accept`: what a case gives now is what is expected of it from now on.

use std::path::Path;

use redraft_engine::prompt::NodeId;
use serde_json::{Value as Json, json};

use super::run::{Compared, Stand};
use crate::case::{CASE, CaseFile, Recorded, Renewal, WORKFLOW};
use crate::case::{digest_of_prompt, put_json, put_pictures, put_saved, put_tensors, take_in};
use crate::compare::{Deviation, PICTURE_STEP};
use crate::dump::Taken;
use crate::named::{model_digests, named_files};

/// How many of the changed outputs are named.
const NAMED: usize = 5;

/// Writes the new results aside, and puts them in place together. The tolerance stays.
///
/// # Errors
/// If anything of it fails; the case is then as it was.
///
/// # Returns
/// What was changed, in words.
pub(super) fn accept(compared: &Compared, stand: &Stand, workflow_was_changed: bool) -> anyhow::Result<String> {
    let Compared { case, ran, .. } = compared;
    let renewal = Renewal::of(&case.folder)?;
    let new = renewal.new_files();
    let mut file = case.file.clone();
    put_tensors(&new, &expected(compared))?;
    if !case.saved.is_empty() {
        let saved = ran.saved.iter().filter(|(node, _)| case.saved.iter().any(|s| s.node == *node)).cloned();
        let old = |at: usize| case.saved.get(at).map_or(PICTURE_STEP, |picture| picture.tolerance);
        file.saved = put_saved(&new, &saved.collect::<Vec<(NodeId, _)>>(), old)?;
    }
    if case.file.recorded.is_some() {
        record(compared, stand, workflow_was_changed, &mut file, &new)?;
    } else if workflow_was_changed {
        put_json(&new.join(WORKFLOW), &compared.prompt.to_json())?;
    }
    put_json(&new.join(CASE), &json!(file))?;
    let mut old = case.file.own_files();
    // A workflow that is not written anew stays.
    old.retain(|name| name != Path::new(WORKFLOW) || new.join(WORKFLOW).is_file());
    renewal.put(&old)?;
    Ok(summary(&compared.deviations))
}

/// Writes down what a recording would: pictures, digests, and on what it ran.
fn record(
    compared: &Compared,
    stand: &Stand,
    workflow_was_changed: bool,
    file: &mut CaseFile,
    new: &Path,
) -> anyhow::Result<()> {
    let Compared { case, ran, .. } = compared;
    let folders = &stand.bench.engine.folders;
    let mut prompt = compared.prompt.clone();
    let pictures = take_in(&mut prompt, stand.registry, folders).map_err(|stop| anyhow::anyhow!(stop.message))?;
    put_pictures(new, &pictures)?;
    file.held = pictures.into_iter().map(|picture| picture.name).collect();
    // Pictures of other folders than `input` are called otherwise in the case.
    let json = if workflow_was_changed || prompt != compared.prompt {
        let json = prompt.to_json();
        put_json(&new.join(WORKFLOW), &json)?;
        json
    } else {
        serde_json::from_slice(&fs_err::read(&case.workflow)?)?
    };
    let named = named_files(&compared.prompt, stand.registry, folders);
    file.models = model_digests(&named, folders);
    file.pictures = named.iter().filter(|file| file.is_users()).filter_map(|file| file.digest(folders)).collect();
    let before = case.file.recorded.as_ref().is_some_and(|recorded| !recorded.prompt.is_empty());
    file.recorded = Some(Recorded {
        surroundings: stand.bench.surroundings(),
        seconds: ran.seconds,
        prompt: if before { digest_of_prompt(&json) } else { String::new() },
    });
    Ok(())
}

/// What the nodes gave now, of every output of which something was expected.
fn expected(compared: &Compared) -> Taken {
    let Compared { case, ran, .. } = compared;
    let is_expected =
        |key: &str| case.has_output_of(key) || compared.deviations.iter().any(|deviation| deviation.key == *key);
    let tensors = ran.taken.tensors.iter().filter(|(key, _)| is_expected(key));
    let plain = ran.taken.plain.iter().filter(|(key, _)| is_expected(key));
    Taken {
        tensors: tensors.map(|(key, tensor)| (key.clone(), tensor.shallow_clone())).collect(),
        plain: plain.map(|(key, value): (&String, &Json)| (key.clone(), value.clone())).collect(),
        ..Taken::default()
    }
}

fn summary(deviations: &[Deviation]) -> String {
    let changed: Vec<_> = deviations.iter().filter(|deviation| deviation.is_any()).collect();
    let beyond = changed.iter().filter(|deviation| deviation.is_beyond()).count();
    let named: Vec<_> =
        changed.iter().filter(|deviation| deviation.is_beyond()).take(NAMED).map(|one| one.to_string()).collect();
    let more = if beyond > NAMED { format!("; and {} more", beyond - NAMED) } else { String::new() };
    format!(
        "{} of {} outputs are others now, {beyond} of them beyond the tolerance: {}{more}",
        changed.len(),
        deviations.len(),
        named.join("; ")
    )
}
