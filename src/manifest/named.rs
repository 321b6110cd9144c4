//! The files that a workflow names, as a manifest holds them.

use indexmap::IndexMap;
use redraft_engine::folders::FolderPaths;
use serde::{Deserialize, Serialize};

use crate::named::FileDigest;

/// A file, or a folder, that the workflow names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Named {
    #[serde(flatten)]
    pub(super) file: FileDigest,
    /// Of all files that the name stands for.
    pub(super) bytes: u64,
}

/// Models and pictures, in the order in which they are named. What cannot be read is left out.
pub(super) fn files(all: &[crate::named::Named], folders: &FolderPaths) -> (Vec<Named>, Vec<Named>) {
    let mut found = IndexMap::new();
    for named in all {
        let key = (named.folder.clone(), named.name.clone());
        if found.contains_key(&key) {
            continue;
        }
        if let Some((file, bytes)) = named.content(folders) {
            found.insert(key, (named.is_users(), Named { file, bytes }));
        }
    }
    let (pictures, models): (Vec<_>, Vec<_>) = found.into_values().partition(|(of_user, _)| *of_user);
    let alone = |all: Vec<(bool, Named)>| all.into_iter().map(|(_, named)| named).collect();
    (alone(models), alone(pictures))
}
