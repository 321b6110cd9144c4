//! The files that a workflow names: models and pictures, with digests of their content.

use std::path::Path;

use indexmap::IndexMap;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::prompt::{Given, Prompt};
use redraft_engine::schema::{Kind, Options};
use redraft_engine::settable;
use redraft_engine::stock::Known;

use super::Named;
use crate::exit::{Outcome, Stop};

/// How texts name textual inversions.
const MENTION: &str = "embedding:";

/// Models and pictures, in the order in which they are named.
pub(super) fn files(prompt: &Prompt, registry: &Registry, folders: &FolderPaths) -> Outcome<(Vec<Named>, Vec<Named>)> {
    let mut found: IndexMap<(String, String), Named> = IndexMap::new();
    for (folder, name) in names(prompt, registry) {
        let Some(path) = folders.find(&folder, &name).filter(|path| path.is_file()) else { continue };
        let key = (folder.clone(), name.clone());
        if !found.contains_key(&key) {
            let (bytes, blake3) = digest(&path).map_err(|error| Stop::wrong(format!("{}: {error}", path.display())))?;
            found.insert(key, Named { folder, name, bytes, blake3 });
        }
    }
    Ok(found.into_values().partition(|named| named.folder != "input"))
}

/// All names of files in a prompt, with their folders.
fn names(prompt: &Prompt, registry: &Registry) -> Vec<(String, String)> {
    let known = Known(registry);
    let mut names = Vec::new();
    for node in prompt.nodes.values() {
        let Some(class) = known.declared(&node.class_type) else { continue };
        for (input, given) in &node.inputs {
            let Given::Constant(value) = given else { continue };
            let (Some(text), Some(declared)) = (value.as_str(), settable::input_of(class, input)) else { continue };
            match &declared.kind {
                Kind::Combo { options: Options::Files { folder, .. }, .. } => {
                    names.push((folder.clone(), text.to_owned()));
                }
                Kind::Text { .. } => names.extend(mentioned(text)),
                _ => {}
            }
        }
    }
    names
}

/// The textual inversions that a prompt mentions, with the endings that they may have.
fn mentioned(text: &str) -> impl Iterator<Item = (String, String)> {
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')' | ':');
    let names =
        text.match_indices(MENTION).filter_map(move |(at, _)| text.get(at + MENTION.len()..)?.split(ends).next());
    names.flat_map(|name| {
        ["", ".safetensors", ".pt", ".bin"].map(|ending| ("embeddings".to_owned(), format!("{name}{ending}")))
    })
}

/// The size and BLAKE3 of a file.
pub(super) fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(redraft_engine::files::open(path)?)?;
    Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_end_where_words_do() {
        let all: Vec<_> = mentioned("a (embedding:x:1.2), embedding:y.pt").map(|(_, name)| name).collect();
        assert_eq!(all[..2], ["x", "x.safetensors"]);
        assert_eq!(all[4..6], ["y.pt", "y.pt.safetensors"]);
    }
}
