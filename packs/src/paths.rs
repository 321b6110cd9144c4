//! Folders that nodes name by a path from ComfyUI's folder on, `input/frames`.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Fingerprint, Flaw, Offer};
use redraft_nodes::pictures::names::inside;
use serde_json::Value as Json;

/// The folders that are read.
const FOLDERS: [&str; 3] = ["input", "output", "temp"];

/// The folder that a path leads to.
///
/// # Errors
/// If it leads out of the folders input, output and temp, is an address, or is not there.
pub(crate) fn directory(folders: &FolderPaths, path: &str) -> Result<PathBuf> {
    let path = stripped(path);
    let (folder, name) = place(folders, path)?;
    for searched in folders.searched(folder) {
        if let Some(found) = inside(searched, &name)? {
            return Ok(found);
        }
    }
    bail!("there is no folder '{name}' in the {folder} folder: make it, or name another")
}

/// Which of the folders a path leads to, and the name in it.
fn place(folders: &FolderPaths, path: &str) -> Result<(&'static str, String)> {
    ensure!(!path.is_empty(), "names no folder: give one, such as input/frames");
    let scheme = path.split_once("://").map(|(scheme, _)| scheme);
    ensure!(
        !matches!(scheme, Some("http" | "https")),
        "'{path}' is an address, and nothing is fetched from the network: put the folder into the input folder, and name it input/NAME"
    );
    let outside = || {
        format!(
            "'{path}' leads out of the folders input, output and temp, and no others are read: put the folder into the input folder, \
             and name it input/NAME"
        )
    };
    let path = Path::new(path);
    if path.is_absolute() {
        let bases = FOLDERS.into_iter().flat_map(|folder| folders.searched(folder).map(move |base| (folder, base)));
        let below = |(folder, base): (&'static str, &Path)| {
            let name = path.strip_prefix(std::path::absolute(base).ok()?).ok()?;
            Some((folder, name.to_str()?.to_owned()))
        };
        return bases.into_iter().find_map(below).filter(|(_, name)| !leaves(name)).with_context(outside);
    }
    let mut parts = path.components().filter(|part| !matches!(part, Component::CurDir));
    let first = parts.next().and_then(|part| part.as_os_str().to_str());
    let folder = first.and_then(|first| FOLDERS.into_iter().find(|folder| *folder == first)).with_context(outside)?;
    let name = parts.collect::<PathBuf>();
    let name = name.to_str().map(str::to_owned).filter(|name| !leaves(name)).with_context(outside)?;
    Ok((folder, name))
}

fn leaves(name: &str) -> bool {
    Path::new(name).components().any(|part| !matches!(part, Component::Normal(_)))
}

/// A path without the quotes and spaces around it that come with copying.
fn stripped(path: &str) -> &str {
    let path = path.trim();
    let path = path.strip_prefix('"').unwrap_or(path);
    path.strip_suffix('"').unwrap_or(path)
}

/// What is wrong with the file that an input names by its path.
pub(crate) fn flaws(
    offer: &Offer,
    input: &str,
    find: impl FnOnce(&str) -> Result<PathBuf>,
    look: impl FnOnce(&Path) -> Result<()>,
) -> Vec<Flaw> {
    let Some(path) = offer.constant(input).and_then(Json::as_str) else { return Vec::new() };
    let wrong = find(path).and_then(|found| look(&found)).err();
    let flaw = |error: anyhow::Error| Flaw {
        input: input.to_owned(),
        folder: "input",
        name: path.to_owned(),
        unusable: Some(format!("{error:#}")),
    };
    wrong.map(flaw).into_iter().collect()
}

/// What a node's outputs depend on that names a file by its path and says `reads("input")`: what lies in the input folder is looked
/// at there; elsewhere nothing is reused.
pub(crate) fn fingerprint(offer: &Offer, input: &str) -> Fingerprint {
    let path = offer.constant(input).and_then(Json::as_str).map(stripped);
    match path {
        Some(path) if Path::new(path).starts_with("input") => Fingerprint::Inputs,
        _ => Fingerprint::Never,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_lead_into_three_folders() {
        let base = std::env::temp_dir().join(format!("redraft-packs-paths-{}", std::process::id()));
        for folder in ["input/sub", "output/x", "secret"] {
            std::fs::create_dir_all(base.join(folder)).unwrap();
        }
        let folders = FolderPaths::below(&base);
        let found = |path: &str| directory(&folders, path).map_err(|error| error.to_string());
        for (path, name) in [("input/sub/", "input/sub"), (" \"./output//x\" ", "output/x")] {
            assert_eq!(found(path).unwrap(), base.join(name));
        }
        let absolute = base.join("input/sub");
        assert_eq!(found(absolute.to_str().unwrap()).unwrap(), absolute);
        let secret = base.join("secret");
        for path in ["secret", "input/../secret", "../a", "/etc", "sub", secret.to_str().unwrap()] {
            assert!(found(path).unwrap_err().contains("and name it input/NAME"), "{path}");
        }
        assert!(found("https://host/a").unwrap_err().contains("nothing is fetched from the network"));
        assert!(found("input/none").unwrap_err().starts_with("there is no folder 'none' in the input folder"));
        std::fs::remove_dir_all(&base).unwrap();
    }
}
