//! How a cache key is made: from the class, what feeds its inputs, and the files that its inputs name.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value as Json;

use crate::digests::{Lasting, Print};
use crate::folders::FolderPaths;
use crate::key::Key;
use crate::node::{Class, Fingerprint};
use crate::prompt::NodeId;
use crate::schema::{Kind, Options};

/// Part of every key, because what nodes compute may change from one build of redraft to the next.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-", env!("REDRAFT_SOURCES"));

/// Gathers one node's key. Inputs are added in declared order.
pub(crate) struct KeyBuilder<'a> {
    hasher: blake3::Hasher,
    folders: &'a FolderPaths,
    settled: bool,
    lasting: Lasting,
}

impl<'a> KeyBuilder<'a> {
    /// `salt` stands for what changes every node's numbers: device kind, dtypes, libtorch version. `settled` says whether large files go by
    /// their content, once that is known, in place of what they go by in this process.
    pub(crate) fn new(class: &Class, id: &NodeId, salt: &str, folders: &'a FolderPaths, settled: bool) -> Self {
        Self { settled, ..Self::of_version(VERSION, class, id, salt, folders) }
    }

    fn of_version(version: &str, class: &Class, id: &NodeId, salt: &str, folders: &'a FolderPaths) -> Self {
        let (hasher, lasting) = (blake3::Hasher::new(), Lasting::Yes);
        let mut this = Self { hasher, folders, settled: false, lasting };
        this.part(version.as_bytes());
        this.part(class.schema.class.as_bytes());
        this.part(&class.traits.revision.to_le_bytes());
        this.part(class.pack().map_or("", |pack| pack.version).as_bytes());
        this.part(salt.as_bytes());
        if class.traits.not_idempotent {
            this.part(id.as_str().as_bytes());
            // Another workflow may have the id for another node.
            this.lasting = Lasting::No;
        }
        for folder in class.traits.reads {
            this.file(folders.digest_of_kind(folder, this.settled));
        }
        this
    }

    fn file(&mut self, print: Print) {
        self.part(&print.digest);
        self.lasting = self.lasting.min(print.lasting);
    }

    /// Length first, so that no two sequences of parts look alike.
    fn part(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
    }

    pub(crate) fn constant(&mut self, name: &str, kind: &Kind, converted: &Json) {
        self.part(b"constant");
        self.part(name.as_bytes());
        self.part(converted.to_string().as_bytes());
        if let (Kind::Combo { options: Options::Files { folder, .. }, .. }, Json::String(file)) = (kind, converted) {
            let print = self.folders.digest_of_choice(folder, file, self.settled);
            self.file(print.unwrap_or(Print { digest: Default::default(), lasting: Lasting::No }));
        }
    }

    /// What the class's own fingerprint adds (`IS_CHANGED`).
    pub(crate) fn fingerprint(&mut self, fingerprint: &Fingerprint) {
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
    pub(crate) fn unique(&mut self) {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.part(b"unique");
        self.part(&COUNTER.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        self.part(&std::process::id().to_le_bytes());
        self.part(&now.as_nanos().to_le_bytes());
        self.lasting = Lasting::No;
    }

    pub(crate) fn link(&mut self, name: &str, kind: &Kind, (source, lasting): (Key, Lasting), slot: usize) {
        self.part(b"link");
        self.part(name.as_bytes());
        self.part(source.as_bytes());
        self.part(&slot.to_le_bytes());
        // Which file a linked name stands for is not known before the node runs.
        let names_file = matches!(kind, Kind::Combo { options: Options::Files { .. }, .. });
        self.lasting = self.lasting.min(if names_file { Lasting::No } else { lasting });
    }

    pub(crate) fn finish(self) -> (Key, Lasting) {
        (Key::from_bytes(*self.hasher.finalize().as_bytes()), self.lasting)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::cx::Cx;
    use crate::io::Args;
    use crate::node::{Node, Run, Traits};
    use crate::schema::{Control, Schema};

    struct Same;

    impl Node for Same {
        fn schema() -> Schema {
            Schema { class: "Same".into(), ..Schema::default() }
        }

        fn traits() -> Traits {
            Traits::default()
        }

        fn from_args(_: &mut Args) -> anyhow::Result<Self> {
            Ok(Self)
        }
    }

    impl Run for Same {
        type Out = ();

        fn run(self, _: &mut Cx) -> anyhow::Result<()> {
            Ok(())
        }
    }

    fn class(revision: u32) -> Class {
        let mut class = Class::of::<Same>();
        class.traits.revision = revision;
        class
    }

    fn key(version: &str, class: &Class, folders: &FolderPaths, file: &str) -> Key {
        let mut key = KeyBuilder::of_version(version, class, &"1".into(), "cpu", folders);
        let options = Options::Files { folder: "checkpoints".into(), besides: Vec::new() };
        let kind = Kind::Combo { options, default: None, upload: None, control: Control::Unset };
        key.constant("ckpt_name", &kind, &json!(file));
        key.finish().0
    }

    #[test]
    fn version_revision_and_content_make_other_keys() {
        let dir = tempfile::tempdir().unwrap();
        let models = dir.path().join("models/checkpoints");
        std::fs::create_dir_all(&models).unwrap();
        std::fs::write(models.join("a.ckpt"), "one").unwrap();
        let folders = || FolderPaths::below(dir.path());
        let first = key("1.0.0", &class(0), &folders(), "a.ckpt");
        assert_eq!(first, key("1.0.0", &class(0), &folders(), "a.ckpt"));
        assert_ne!(first, key("1.0.1", &class(0), &folders(), "a.ckpt"));
        assert_ne!(first, key("1.0.0", &class(1), &folders(), "a.ckpt"));
        std::fs::write(models.join("a.ckpt"), "two").unwrap();
        assert_ne!(first, key("1.0.0", &class(0), &folders(), "a.ckpt"));
        // The same content elsewhere, and later: the same key.
        let other = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(other.path().join("models/checkpoints")).unwrap();
        std::fs::write(other.path().join("models/checkpoints/a.ckpt"), "one").unwrap();
        assert_eq!(first, key("1.0.0", &class(0), &FolderPaths::below(other.path()), "a.ckpt"));
        assert_eq!(Key::from_bytes(*first.as_bytes()), first);
    }
}
