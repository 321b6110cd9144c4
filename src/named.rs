//! The files that a workflow's nodes name.

use std::collections::HashSet;
use std::path::PathBuf;

use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::prompt::{Given, NodeId, Prompt};
use redraft_engine::schema::{Folders, Kind, Options};
use redraft_engine::settable;
use redraft_engine::stock::Known;
use redraft_nodes::text::{EmbeddingFiles, referenced_embeddings};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The kind of folder of textual inversions, which prompts name.
const EMBEDDINGS: &str = "embeddings";

/// A file that nodes read, by name and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileDigest {
    /// The kind of folder that it lies in, `checkpoints`.
    pub(crate) folder: String,
    pub(crate) name: String,
    pub(crate) blake3: String,
}

/// A file that a node names.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) node: NodeId,
    pub(crate) input: String,
    /// The kind of folder: `checkpoints`, `input`, …
    pub(crate) folder: String,
    pub(crate) name: String,
}

impl Named {
    /// Whether it is a picture, or another file of the user's, and no model.
    pub(crate) fn is_users(&self) -> bool {
        matches!(self.folder.as_str(), "input" | "output" | "temp" | "input_folders")
    }

    pub(crate) fn path(&self, folders: &FolderPaths) -> Option<PathBuf> {
        folders.find(&self.folder, &self.name)
    }

    /// What lies there now, of all that the name stands for; nothing if it is not there or cannot be read.
    pub(crate) fn digest(&self, folders: &FolderPaths) -> Option<FileDigest> {
        self.content(folders).map(|(digest, _)| digest)
    }

    /// The same, and how many bytes it has.
    pub(crate) fn content(&self, folders: &FolderPaths) -> Option<(FileDigest, u64)> {
        let (digest, bytes) = folders.whole_choice(&self.folder, &self.name)?.ok()?;
        let blake3 = blake3::Hash::from(digest).to_hex().to_string();
        Some((FileDigest { folder: self.folder.clone(), name: self.name.clone(), blake3 }, bytes))
    }
}

/// All files that nodes name, embeddings in their texts too, in the order of the workflow.
pub(crate) fn named_files(prompt: &Prompt, registry: &Registry, folders: &FolderPaths) -> Vec<Named> {
    let mut all = Vec::new();
    for (id, node) in &prompt.nodes {
        let Some(schema) = Known(registry).declared(&node.class_type) else { continue };
        for (input, given) in &node.inputs {
            let Given::Constant(Json::String(name)) = given else { continue };
            let named = |folder: &str, name: String| {
                let (node, input) = (id.clone(), input.clone());
                Named { node, input, folder: folder.to_owned(), name }
            };
            match settable::input_of(schema, input).map(|input| &input.kind) {
                Some(Kind::Combo { options: Options::Files { folder, besides }, .. }) if !besides.contains(name) => {
                    all.push(named(folder, name.clone()));
                }
                Some(Kind::Text { .. }) => {
                    all.extend(embeddings(name, folders).into_iter().map(|name| named(EMBEDDINGS, name)));
                }
                _ => {}
            }
        }
    }
    all
}

/// The embeddings that a text mentions, as the folders list them.
fn embeddings(text: &str, folders: &FolderPaths) -> Vec<String> {
    let files = EmbeddingFiles::new(folders.directories(EMBEDDINGS).to_vec());
    let found = referenced_embeddings(text, &files).unwrap_or_default();
    if found.is_empty() {
        return Vec::new();
    }
    let is_found = |name: &String| {
        folders
            .find(EMBEDDINGS, name)
            .and_then(|path| path.canonicalize().ok())
            .is_some_and(|path| found.contains(&path))
    };
    folders.list(EMBEDDINGS).into_iter().filter(is_found).collect()
}

/// The models among them, each once, with their contents.
pub(crate) fn model_digests(named: &[Named], folders: &FolderPaths) -> Vec<FileDigest> {
    let mut seen = HashSet::new();
    let models = named.iter().filter(|file| !file.is_users());
    let each = models.filter(|file| seen.insert((file.folder.as_str(), file.name.as_str())));
    each.filter_map(|file| file.digest(folders)).collect()
}
