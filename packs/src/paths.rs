//! Files and folders that nodes name by a path from ComfyUI's folder on, `input/a.mp4`.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Fingerprint, Flaw, Offer};
use redraft_nodes::pictures::names::inside;
use serde_json::Value as Json;

/// The folders that are read.
const FOLDERS: [&str; 3] = ["input", "output", "temp"];

/// The file that a path leads to.
///
/// # Errors
/// If it leads out of the folders input, output and temp, is an address, or is not there.
pub(crate) fn file(folders: &FolderPaths, path: &str) -> Result<PathBuf> {
    let path = stripped(path);
    let (folder, name) = place(folders, path)?;
    let there = folders.find(folder, &name).filter(|found| found.is_file());
    there.with_context(|| format!("there is no file '{name}' in the {folder} folder: put it there, or name another"))
}

/// The folder that a path leads to.
///
/// # Errors
/// As [`file`].
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
    if let Some(place) = relative(path)? {
        return Ok(place);
    }
    let bases = FOLDERS.into_iter().flat_map(|folder| folders.searched(folder).map(move |base| (folder, base)));
    let below = |(folder, base): (&'static str, &Path)| {
        let name = Path::new(path).strip_prefix(std::path::absolute(base).ok()?).ok()?;
        Some((folder, name.to_str()?.to_owned()))
    };
    bases.into_iter().find_map(below).filter(|(_, name)| !leaves(name)).with_context(|| outside(path))
}

/// The same of a path that is not absolute; nothing for one that is.
fn relative(path: &str) -> Result<Option<(&'static str, String)>> {
    ensure!(!path.is_empty(), "names no file: give one, such as input/a.mp4");
    let scheme = path.split_once("://").map(|(scheme, _)| scheme);
    ensure!(
        !matches!(scheme, Some("http" | "https")),
        "'{path}' is an address, and nothing is fetched from the network: put the file into the input folder, and name it input/NAME"
    );
    if Path::new(path).is_absolute() {
        return Ok(None);
    }
    let mut parts = Path::new(path).components().filter(|part| !matches!(part, Component::CurDir));
    let first = parts.next().and_then(|part| part.as_os_str().to_str());
    let folder = first.and_then(|first| FOLDERS.into_iter().find(|folder| *folder == first));
    let name = parts.collect::<PathBuf>();
    let name = name.to_str().map(str::to_owned).filter(|name| !leaves(name));
    folder.zip(name).map(Some).with_context(|| outside(path))
}

fn outside(path: &str) -> String {
    format!(
        "'{path}' leads out of the folders input, output and temp, and no others are read: put the file into the input folder, and name \
         it input/NAME"
    )
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

/// Whether the path that an input holds may lead into one of the folders, as far as it tells by itself.
///
/// # Errors
/// If it does not; the text is for the user.
pub(crate) fn fit(offer: &Offer, input: &str) -> Result<(), String> {
    let path = offer.constant(input).and_then(Json::as_str).map(stripped);
    path.map_or(Ok(()), |path| relative(path).map(drop).map_err(|error| format!("input '{input}': {error}")))
}

/// What is wrong with the file that an input names by its path, if that [may be read](fit).
pub(crate) fn flaws(
    offer: &Offer,
    input: &str,
    find: impl FnOnce(&str) -> Result<PathBuf>,
    look: impl FnOnce(&Path) -> Result<()>,
) -> Vec<Flaw> {
    let path = offer.constant(input).and_then(Json::as_str).filter(|_| fit(offer, input).is_ok());
    let Some(path) = path else { return Vec::new() };
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
        let base = tempfile::tempdir().unwrap();
        let base = base.path();
        for folder in ["input/sub", "output", "secret"] {
            std::fs::create_dir_all(base.join(folder)).unwrap();
        }
        for name in ["input/a.mp4", "input/sub/b.mp4", "output/c.mp4", "secret/d.mp4"] {
            std::fs::write(base.join(name), "").unwrap();
        }
        let folders = FolderPaths::below(base);
        let found = |path: &str| file(&folders, path).map_err(|error| error.to_string());
        for (path, name) in [
            ("input/a.mp4", "input/a.mp4"),
            (" \"./input/sub//b.mp4\" ", "input/sub/b.mp4"),
            ("output/c.mp4", "output/c.mp4"),
        ] {
            assert_eq!(found(path).unwrap(), base.join(name));
        }
        let absolute = base.join("input/sub/b.mp4");
        assert_eq!(found(absolute.to_str().unwrap()).unwrap(), absolute);
        let secret = base.join("secret/d.mp4");
        for path in
            ["secret/d.mp4", "input/../secret/d.mp4", "../a.mp4", "/etc/passwd", "a.mp4", secret.to_str().unwrap()]
        {
            assert!(found(path).unwrap_err().contains("and name it input/NAME"), "{path}");
        }
        assert!(found("https://host/a.mp4").unwrap_err().contains("nothing is fetched from the network"));
        assert!(found("input/none.mp4").unwrap_err().starts_with("there is no file 'none.mp4' in the input folder"));
        assert_eq!(directory(&folders, "input/sub/").unwrap(), base.join("input/sub"));
        assert!(directory(&folders, "input/none").is_err() && file(&folders, "input/sub").is_err());
    }
}
