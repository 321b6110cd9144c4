//! The pictures that a workflow reads, as a case holds them.

use std::path::Path;

use redraft_engine::files;
use redraft_engine::folders::{Annotated, FolderPaths};
use redraft_engine::node::Registry;
use redraft_engine::prompt::{Given, Prompt};
use serde_json::Value as Json;

use super::MAX_PICTURE;
use crate::exit::{Outcome, Stop};
use crate::named::{Named, named_files};

/// The most pictures of a folder that a node reads.
const MAX_PICTURES: usize = 1000;
/// The kind of folder of folders that nodes read as a whole.
pub(crate) const FOLDERS: &str = "input_folders";

/// A picture that the workflow reads.
pub(crate) struct Picture {
    /// Below the case's `input`.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// Reads the pictures that nodes name. One of another folder than `input` is called after its folder from now on.
pub(crate) fn take_in(prompt: &mut Prompt, registry: &Registry, folders: &FolderPaths) -> Outcome<Vec<Picture>> {
    let mut pictures: Vec<Picture> = Vec::new();
    for file in named_files(prompt, registry, folders).iter().filter(|file| file.is_users()) {
        let own = match file.folder.as_str() {
            "input" => own_name(&file.name),
            FOLDERS => file.name.clone(),
            other => {
                return Err(Stop::wrong(format!(
                    "node {} ({}), input '{}': a case holds no pictures of the folder {other}; put {} into input and use LoadImage",
                    file.node, prompt.nodes[&file.node].class_type, file.input, file.name
                )));
            }
        };
        for (from, to) in names(file, &own, folders)? {
            if pictures.iter().any(|known| known.name == to) {
                continue;
            }
            let path = folders.find("input", &from).ok_or_else(|| Stop::wrong(format!("{from}: is gone")))?;
            let bytes =
                files::read(&path, MAX_PICTURE).map_err(|error| Stop::wrong(format!("{}: {error}", path.display())))?;
            pictures.push(Picture { name: to, bytes });
        }
        if own != file.name
            && let Some(node) = prompt.nodes.get_mut(&file.node)
        {
            node.inputs.insert(file.input.clone(), Given::Constant(Json::String(own)));
        }
    }
    Ok(pictures)
}

/// What a picture is called in the case: `a.png [output]` becomes `from-output/a.png`.
fn own_name(name: &str) -> String {
    let Annotated { folder, name: plain } = Annotated::parse(name);
    let plain = plain.replace('\\', "/");
    if folder == "input" { plain } else { format!("from-{folder}/{plain}") }
}

/// The picture that is named, or all of the folder, and what they are called in the case.
fn names(file: &Named, own: &str, folders: &FolderPaths) -> Outcome<Vec<(String, String)>> {
    if file.folder != FOLDERS {
        return Ok(vec![(file.name.clone(), own.to_owned())]);
    }
    let directory = folders.find(&file.folder, &file.name);
    let all = directory.map(|directory| files_of(&directory, &file.name)).transpose().map_err(|why| {
        Stop::wrong(format!("node {}, input '{}': the folder {} {why}", file.node, file.input, file.name))
    })?;
    Ok(all.unwrap_or_default().into_iter().map(|name| (name.clone(), name)).collect())
}

/// The files of a folder and of those in it, in alphabetical order, as `name/...`. Links are left out.
///
/// # Errors
/// If there are too many, in words that continue the folder's name.
pub(super) fn files_of(directory: &Path, name: &str) -> Result<Vec<String>, String> {
    let (mut found, mut open) = (Vec::new(), vec![(directory.to_owned(), name.to_owned())]);
    while let Some((directory, name)) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_file() => found.push(name),
                Ok(kind) if kind.is_dir() => open.push((entry.path(), name)),
                _ => {}
            }
            if found.len().max(open.len()) > MAX_PICTURES {
                return Err(format!("has more than {MAX_PICTURES} files; use a smaller one"));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_folder_is_taken_with_the_folders_in_it() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("3_cat")).unwrap();
        ["b.png", "a.txt", "3_cat/c.png"].iter().for_each(|name| fs_err::write(dir.path().join(name), "").unwrap());
        #[cfg(unix)]
        std::os::unix::fs::symlink("..", dir.path().join("up")).unwrap();
        assert_eq!(files_of(dir.path(), "set").unwrap(), ["set/3_cat/c.png", "set/a.txt", "set/b.png"]);
    }

    #[test]
    fn pictures_of_other_folders_are_called_after_them() {
        assert_eq!(own_name("a.png"), "a.png");
        assert_eq!(own_name("sub\\a.png [input]"), "sub/a.png");
        assert_eq!(own_name("a.png [output]"), "from-output/a.png");
    }
}
