//! `verify --accept`: what a case gives now is what is expected of it from now on.

use std::path::Path;

use redraft_engine::prompt::NodeId;
use serde_json::{Value as Json, json};

use super::run::{Compared, Stand};
use crate::case::{CASE, INPUT, Pictures, Recorded, SAVED, WORKFLOW};
use crate::case::{digest_of_prompt, put_json, put_tensors};
use crate::compare::{Deviation, PICTURE_STEP};
use crate::dump::Taken;
use crate::named::{model_digests, named_files};

/// How many of the changed outputs are named.
const NAMED: usize = 5;

/// Writes the new results, each file aside and then renamed, `case.json` last. The tolerance stays.
///
/// # Returns
/// What was changed, in words.
pub(super) fn accept(compared: &Compared, stand: &Stand, workflow_was_changed: bool) -> anyhow::Result<String> {
    let Compared { case, ran, prompt, .. } = compared;
    let folder = case.folder.as_path();
    let mut file = case.file.clone();
    put_tensors(folder, &expected(compared))?;
    if !case.saved.is_empty() {
        let saved: Vec<_> = ran.saved.iter().filter(|(node, _)| case.saved.iter().any(|s| s.node == *node)).collect();
        let old = |at: usize| case.saved.get(at).map_or(PICTURE_STEP, |picture| picture.tolerance);
        let saved: Vec<(NodeId, _)> = saved.into_iter().cloned().collect();
        file.saved = Pictures(folder).saved(&saved, old)?;
        remove_others(folder, &file.saved.iter().map(|entry| entry.file.as_str()).collect::<Vec<_>>())?;
    }
    let mut json = prompt.to_json();
    if workflow_was_changed {
        put_json(&folder.join(WORKFLOW), &json)?;
    } else {
        json = serde_json::from_slice(&fs_err::read(&case.workflow)?)?;
    }
    if let Some(recorded) = &file.recorded {
        let folders = &stand.bench.engine.folders;
        let named = named_files(prompt, stand.registry, folders);
        for picture in named.iter().filter(|file| file.folder == "input") {
            if let (None, Some(path)) = (case.picture(&picture.name).ok().flatten(), picture.path(folders)) {
                Pictures(folder).copy(&path, &Path::new(INPUT).join(&picture.name))?;
            }
        }
        file.models = model_digests(&named, folders);
        file.pictures = named.iter().filter(|file| file.is_users()).filter_map(|file| file.digest(folders)).collect();
        file.recorded = Some(Recorded {
            surroundings: stand.bench.surroundings(),
            seconds: ran.seconds,
            prompt: if recorded.prompt.is_empty() { String::new() } else { digest_of_prompt(&json) },
        });
    }
    put_json(&folder.join(CASE), &json!(file))?;
    Ok(summary(&compared.deviations))
}

/// What the nodes gave now, of everything that was expected.
fn expected(compared: &Compared) -> Taken {
    let Compared { case, ran, .. } = compared;
    let tensors = ran.taken.tensors.iter().filter(|(key, _)| case.has_output_of(key));
    let plain = ran.taken.plain.iter().filter(|(key, _)| case.has_output_of(key));
    Taken {
        tensors: tensors.map(|(key, tensor)| (key.clone(), tensor.shallow_clone())).collect(),
        plain: plain.map(|(key, value): (&String, &Json)| (key.clone(), value.clone())).collect(),
        ..Taken::default()
    }
}

/// Removes the saved pictures that are no longer expected.
fn remove_others(folder: &Path, kept: &[&str]) -> anyhow::Result<()> {
    let saved = folder.join(SAVED);
    for entry in fs_err::read_dir(&saved).into_iter().flatten() {
        let entry = entry?;
        let name = format!("{SAVED}/{}", entry.file_name().to_string_lossy());
        if !kept.contains(&name.as_str()) && entry.file_type()?.is_file() {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
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
