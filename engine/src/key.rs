//! Cache keys: what a node's outputs depend on, and nothing else.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value as Json;

use crate::folders::FolderPaths;
use crate::node::{Class, Fingerprint};
use crate::prompt::NodeId;
use crate::schema::{Kind, Options};

/// The identity of a node's outputs. Equal keys stand for equal outputs; ids, titles, the order of inputs and `8` for `8.0`
/// make no difference.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    #[cfg(test)]
    pub(crate) fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", blake3::Hash::from(self.0).to_hex().get(..12).unwrap_or_default())
    }
}

/// Gathers one node's key. Inputs are added in declared order.
pub struct KeyBuilder<'a> {
    hasher: blake3::Hasher,
    folders: &'a FolderPaths,
}

impl<'a> KeyBuilder<'a> {
    /// `salt` stands for what changes every node's numbers: device kind, dtypes, libtorch version.
    pub fn new(class: &Class, id: &NodeId, salt: &str, folders: &'a FolderPaths) -> Self {
        let mut this = Self { hasher: blake3::Hasher::new(), folders };
        this.part(class.schema.class.as_bytes());
        this.part(&class.traits.revision.to_le_bytes());
        this.part(salt.as_bytes());
        if class.traits.not_idempotent {
            this.part(id.as_str().as_bytes());
        }
        for folder in class.traits.reads {
            this.part(&folders.folder_fingerprint(folder));
        }
        this
    }

    /// Length first, so that no two sequences of parts look alike.
    fn part(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
    }

    pub fn constant(&mut self, name: &str, kind: &Kind, converted: &Json) {
        self.part(b"constant");
        self.part(name.as_bytes());
        self.part(converted.to_string().as_bytes());
        if let (Kind::Combo { options: Options::Files { folder, .. }, .. }, Json::String(file)) = (kind, converted) {
            let print = self.folders.find(folder, file).and_then(|path| self.folders.fingerprint(&path).ok());
            self.part(&print.unwrap_or_default());
        }
    }

    /// What the class says that its outputs depend on besides.
    pub fn fingerprint(&mut self, fingerprint: &Fingerprint) {
        match fingerprint {
            Fingerprint::Inputs => {}
            Fingerprint::Of(json) => {
                self.part(b"fingerprint");
                self.part(json.to_string().as_bytes());
            }
            Fingerprint::Never => self.unique(),
        }
    }

    /// A value whose content is not known makes the key unequal to every other.
    pub fn unique(&mut self) {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.part(b"unique");
        self.part(&COUNTER.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        self.part(&std::process::id().to_le_bytes());
        self.part(&now.as_nanos().to_le_bytes());
    }

    pub fn link(&mut self, name: &str, source: Key, slot: usize) {
        self.part(b"link");
        self.part(name.as_bytes());
        self.part(&source.0);
        self.part(&slot.to_le_bytes());
    }

    pub fn finish(self) -> Key {
        Key(*self.hasher.finalize().as_bytes())
    }
}
