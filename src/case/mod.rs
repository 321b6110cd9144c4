//! A case folder: a workflow, what its nodes are expected to give, and how near is near enough.

mod file;
mod pictures;
mod renew;
mod write;

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail, ensure};
use redraft_engine::files;
use redraft_engine::prompt::{NodeId, Targets};
use redraft_nodes::files::tensor_file;
use serde_json::{Map, Value as Json};

pub(crate) use self::file::{Boundary, CaseFile, Measured, Recorded, SavedEntry, Surroundings, digest_of_prompt};
pub(crate) use self::pictures::{FOLDERS, Picture, take_in};
pub(crate) use self::renew::{ASIDE, Renewal};
pub(crate) use self::write::{put_json, put_pictures, put_saved, put_tensors};
use crate::compare::{PICTURE_STEP, SavedPicture};
use crate::dump::Taken;
use crate::exit::{Outcome, Stop};

pub(crate) const CASE: &str = "case.json";
pub(crate) const WORKFLOW: &str = "prompt.json";
pub(crate) const TENSORS: &str = "expected.safetensors";
pub(crate) const VALUES: &str = "expected.json";
/// The folder of the pictures that it reads, and of those that it saves.
pub(crate) const INPUT: &str = "input";
pub(crate) const SAVED: &str = "saved";

/// The longest JSON file of a case, in bytes.
pub(crate) const MAX_BYTES: u64 = 64 << 20;
/// The longest picture of a case, in bytes.
pub(crate) const MAX_PICTURE: u64 = 1 << 30;

pub(crate) struct Case {
    pub(crate) folder: PathBuf,
    pub(crate) workflow: PathBuf,
    /// The largest difference allowed, over the largest expected value or 1.
    pub(crate) tolerance: f64,
    /// Tensors and plain values; their order is unknown.
    pub(crate) expected: Taken,
    pub(crate) saved: Vec<SavedPicture>,
    pub(crate) file: CaseFile,
    /// Whether the workflow is not the one that was recorded.
    pub(crate) edited: bool,
}

impl Case {
    /// # Errors
    /// If the folder is no case, in words that name it.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let [prompt, other] = [WORKFLOW, "workflow.json"].map(|name| file_of(folder, name));
        let Some(workflow) = prompt?.map_or(other, |prompt| Ok(Some(prompt)))? else {
            bail!("{}: a case needs a prompt.json or a workflow.json", folder.display());
        };
        let settings = object(&inside(folder, CASE)?)?;
        let Some(tolerance) = settings.get("tolerance").and_then(Json::as_f64) else {
            bail!("{}: case.json has no tolerance; give it a number", folder.display());
        };
        ensure!(
            tolerance.is_finite() && tolerance >= 0.0,
            "{}: the tolerance in case.json is {tolerance}; it must be 0 or more",
            folder.display()
        );
        let file: CaseFile = serde_json::from_value(Json::Object(settings))
            .with_context(|| format!("{}: case.json cannot be used", folder.display()))?;
        let [tensors, values] = [TENSORS, VALUES].map(|name| file_of(folder, name));
        let tensors = tensors?.map(|path| tensor_file::load(&path)).transpose()?.unwrap_or_default();
        let plain = values?.map(|path| object(&path)).transpose()?.unwrap_or_default().into_iter().collect();
        let expected = Taken { tensors, plain, ..Taken::default() };
        let saved = file.saved.iter().map(|entry| saved(folder, entry)).collect::<anyhow::Result<Vec<_>>>()?;
        if expected.tensors.is_empty() && expected.plain.is_empty() && saved.is_empty() {
            bail!("{}: a case needs an expected.safetensors or an expected.json that is not empty", folder.display());
        }
        let recorded = file.recorded.as_ref().map(|recorded| recorded.prompt.as_str());
        let edited = match recorded.filter(|digest| !digest.is_empty()) {
            Some(digest) => digest_of_prompt(&Json::Object(object(&workflow)?)) != digest,
            None => false,
        };
        Ok(Self { folder: folder.to_owned(), workflow, tolerance, expected, saved, file, edited })
    }

    /// What is run: what was recorded, or every node.
    pub(crate) fn targets(&self) -> Targets {
        match self.file.targets.is_empty() {
            true => Targets::All,
            false => Targets::Only(self.file.targets.clone()),
        }
    }

    /// The picture that the case holds under the name that a node reads.
    pub(crate) fn picture(&self, name: &str) -> Outcome<Option<Vec<u8>>> {
        let Ok(path) = inside(&self.folder, &format!("{INPUT}/{name}")) else { return Ok(None) };
        let wrong = |error: std::io::Error| Stop::wrong(format!("{}: {error}", path.display()));
        if path.is_file() { files::read(&path, MAX_PICTURE).map(Some).map_err(wrong) } else { Ok(None) }
    }

    /// The names of the pictures that the case holds of a folder that a node reads as a whole.
    pub(crate) fn pictures_of(&self, folder: &str) -> Outcome<Vec<String>> {
        let is_of = |name: &str| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        if !self.file.held.is_empty() {
            return Ok(self.file.held.iter().filter(|name| is_of(name)).cloned().collect());
        }
        // Made by hand, or by a redraft that did not write the names down.
        let Ok(path) = inside(&self.folder, &format!("{INPUT}/{folder}")) else { return Ok(Vec::new()) };
        pictures::files_of(&path, folder).map_err(|why| Stop::wrong(format!("{}: {why}", path.display())))
    }

    /// The nodes of which something is expected.
    pub(crate) fn has_output_of(&self, key: &str) -> bool {
        self.expected.tensors.contains_key(key) || self.expected.plain.contains_key(key)
    }
}

fn saved(folder: &Path, entry: &SavedEntry) -> anyhow::Result<SavedPicture> {
    let tolerance = entry.tolerance.unwrap_or(PICTURE_STEP);
    ensure!(
        tolerance.is_finite() && tolerance >= 0.0,
        "{}: the tolerance of {} in case.json is {tolerance}; it must be 0 or more",
        folder.display(),
        entry.file
    );
    let path = inside(folder, &entry.file)?;
    Ok(SavedPicture { node: entry.node.clone(), name: entry.file.clone(), path, tolerance })
}

/// The path of a file in a folder.
///
/// # Errors
/// If the name leads out of the folder, or a link is on the way: none in a case is followed.
fn inside(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(plain && !name.is_empty() && !name.contains('\0'), "{}: {name:?} leads out of it", folder.display());
    let mut path = folder.to_owned();
    for part in Path::new(name).components() {
        path.push(part);
        ensure!(
            !path.is_symlink(),
            "{} is a symbolic link, and none in a case is followed; put the file itself there",
            path.display()
        );
    }
    Ok(path)
}

/// The file of a case that has this name, if there is one.
fn file_of(folder: &Path, name: &str) -> anyhow::Result<Option<PathBuf>> {
    Ok(Some(inside(folder, name)?).filter(|path| path.is_file()))
}

fn object(path: &Path) -> anyhow::Result<Map<String, Json>> {
    let bytes = files::read(path, MAX_BYTES).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is no JSON object", path.display()))
}

/// A name for files that stays in its folder, whatever the node is called.
pub(crate) fn file_name(node: &NodeId) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    node.as_str().chars().map(plain).take(100).collect()
}
