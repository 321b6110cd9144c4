//! The files of a case, each written aside and renamed.

use std::io::Write;
use std::path::{Path, PathBuf};

use redraft_engine::aside::Aside;
use redraft_engine::files;
use redraft_engine::prompt::NodeId;
use redraft_nodes::files::tensor_file;
use serde_json::Value as Json;

use super::{MAX_PICTURE, SAVED, SavedEntry, TENSORS, VALUES, file_name};
use crate::dump::Taken;

/// The tensors and the plain values that are expected. A file of which nothing is left goes.
pub(crate) fn put_tensors(folder: &Path, expected: &Taken) -> anyhow::Result<()> {
    let (tensors, values) = (folder.join(TENSORS), folder.join(VALUES));
    if expected.tensors.is_empty() {
        remove(&tensors)?;
    } else {
        let aside = Aside::of(&tensors)?;
        tensor_file::save(aside.path(), expected.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))?;
        aside.stand_over()?;
    }
    if expected.plain.is_empty() {
        remove(&values)
    } else {
        put_json(&values, &Json::Object(expected.plain.iter().map(|(k, v)| (k.clone(), v.clone())).collect()))
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    if path.is_file() { Ok(fs_err::remove_file(path)?) } else { Ok(()) }
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

/// Pictures that go into a case.
pub(crate) struct Pictures<'a>(pub(crate) &'a Path);

impl Pictures<'_> {
    /// Copies a file to a name below the case's folder.
    pub(crate) fn copy(&self, from: &Path, to: &Path) -> anyhow::Result<()> {
        let path = self.0.join(to);
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        put(&path, &files::read(from, MAX_PICTURE)?)
    }

    /// Takes in what nodes saved, under the names that the entries get; `tolerance` says what each may be off.
    pub(crate) fn saved(
        &self,
        pictures: &[(NodeId, PathBuf)],
        tolerance: impl Fn(usize) -> f64,
    ) -> anyhow::Result<Vec<SavedEntry>> {
        let each = pictures.iter().enumerate().map(|(at, (node, path))| {
            let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
            let extension: String = extension.chars().filter(char::is_ascii_alphanumeric).collect();
            let file = format!("{SAVED}/{:02}-{}.{extension}", at + 1, file_name(node));
            self.copy(path, Path::new(&file))?;
            Ok(SavedEntry { node: node.clone(), file, tolerance: Some(tolerance(at)) })
        });
        each.collect()
    }
}
