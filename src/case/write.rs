//! The files of a case, written into a folder of their own.

use std::io::Write;
use std::path::{Path, PathBuf};

use redraft_engine::aside::Aside;
use redraft_engine::files;
use redraft_engine::prompt::NodeId;
use redraft_nodes::files::tensor_file;
use serde_json::Value as Json;

use super::{INPUT, MAX_PICTURE, Picture, SAVED, SavedEntry, TENSORS, VALUES, file_name};
use crate::dump::Taken;

/// The tensors and the plain values that are expected.
pub(crate) fn put_tensors(folder: &Path, expected: &Taken) -> anyhow::Result<()> {
    if !expected.tensors.is_empty() {
        let aside = Aside::of(&folder.join(TENSORS))?;
        tensor_file::save(aside.path(), expected.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))?;
        aside.stand_over()?;
    }
    if expected.plain.is_empty() {
        return Ok(());
    }
    let values = expected.plain.iter().map(|(key, value)| (key.clone(), value.clone()));
    put_json(&folder.join(VALUES), &Json::Object(values.collect()))
}

/// A JSON file for people.
pub(crate) fn put_json(path: &Path, json: &Json) -> anyhow::Result<()> {
    put(path, format!("{json:#}\n").as_bytes())
}

fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut aside = Aside::of(path)?;
    aside.write_all(bytes)?;
    Ok(aside.stand_over()?)
}

/// The pictures that the workflow reads.
pub(crate) fn put_pictures(folder: &Path, pictures: &[Picture]) -> anyhow::Result<()> {
    pictures.iter().try_for_each(|picture| put_below(folder, &Path::new(INPUT).join(&picture.name), &picture.bytes))
}

/// Takes in the pictures that nodes saved, under the names that the entries get; `tolerance` says what each may be off.
pub(crate) fn put_saved(
    folder: &Path,
    pictures: &[(NodeId, PathBuf)],
    tolerance: impl Fn(usize) -> f64,
) -> anyhow::Result<Vec<SavedEntry>> {
    let each = pictures.iter().enumerate().map(|(at, (node, path))| {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        let extension: String = extension.chars().filter(char::is_ascii_alphanumeric).collect();
        let file = format!("{SAVED}/{:02}-{}.{extension}", at + 1, file_name(node));
        put_below(folder, Path::new(&file), &files::read(path, MAX_PICTURE)?)?;
        Ok(SavedEntry { node: node.clone(), file, tolerance: Some(tolerance(at)) })
    });
    each.collect()
}

/// Writes a file, and the folders that lead to it.
fn put_below(folder: &Path, name: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    put(&path, bytes)
}
