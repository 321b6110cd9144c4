//! What differs between a manifest and a run today.

use std::collections::HashMap;

use redraft_engine::folders::FolderPaths;

use super::named::Named;
use super::record::Node;
use super::saved::Saved;
use super::{Machine, Manifest};
use crate::exit::{Exit, Outcome, Stop};
use crate::named::FileDigest;

/// The files that a manifest names and that are other ones now, a line for each.
///
/// # Errors
/// If one is missing.
pub(super) fn of_files(manifest: &Manifest, folders: &FolderPaths) -> Outcome<Vec<String>> {
    let mut lines = Vec::new();
    let all = manifest.models.iter().map(|model| ("model", model));
    for (what, Named { file: FileDigest { folder, name, blake3 }, bytes }) in
        all.chain(manifest.pictures.iter().map(|p| ("picture", p)))
    {
        let Some(content) = folders.whole_choice(folder, name) else {
            let text = format!("the {what} {name} ({folder}) is not there; put it back, or name its --base-directory");
            return Err(Stop::new(Exit::Missing, text));
        };
        let (digest, now) = content.map_err(|error| Stop::wrong(format!("the {what} {name} ({folder}): {error}")))?;
        if blake3::Hash::from(digest).to_hex().as_str() != blake3 {
            let size =
                if now == *bytes { "of the same size".to_owned() } else { format!("{bytes} bytes then, {now} now") };
            lines.push(format!("the {what} {name} ({folder}) is another one, {size}"));
        }
    }
    Ok(lines)
}

/// What is different about program and machine, a line for each.
pub(super) fn of_machine(then: &Machine, now: &Machine) -> Vec<String> {
    let mut changed = now.surroundings.changed(&then.surroundings);
    if now.libtorch != then.libtorch {
        changed.push(("libtorch", now.libtorch.clone(), then.libtorch.clone()));
    }
    // All of that is in it, too.
    if changed.is_empty() && now.key != then.key {
        changed.push(("key", now.key.clone(), then.key.clone()));
    }
    changed.into_iter().map(|(what, now, then)| format!("{what}: {then} then, {now} now")).collect()
}

/// The first node whose outputs differ, in the order of the manifest: a line that names it.
pub(super) fn of_nodes(then: &[Node], now: &[Node]) -> Option<String> {
    let by_id: HashMap<_, _> = now.iter().map(|node| (&node.id, node)).collect();
    then.iter().find_map(|node| {
        let called = format!("node {} ({})", node.id, node.class);
        let Some(today) = by_id.get(&node.id) else { return Some(format!("{called} did not run")) };
        if today.outputs.len() != node.outputs.len() {
            let (then, now) = (node.outputs.len(), today.outputs.len());
            return Some(format!("{called} has {now} outputs, where it had {then}"));
        }
        let slot = node.outputs.iter().zip(&today.outputs).position(|(then, now)| then != now)?;
        Some(format!("{called}: output {slot} differs"))
    })
}

/// The first saved file that shows something else.
pub(super) fn of_saved(then: &[Saved], now: &[Saved]) -> Option<String> {
    if then.len() != now.len() {
        return Some(format!("{} files were saved, and {} are now", then.len(), now.len()));
    }
    let differs = |(then, now): &(&Saved, &Saved)| match (&then.pixels, &now.pixels) {
        (None, None) => false,
        (then, now) => then != now,
    };
    let (then, _) = then.iter().zip(now).find(differs)?;
    Some(format!("the picture {} has other pixels", then.name))
}
