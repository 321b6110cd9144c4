//! Packs: nodes that do not come with ComfyUI, and where their originals come from.

use crate::table::Row;

/// A pack of nodes, by the Rust module that declares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pack {
    /// What ComfyUI's users know it as.
    pub name: &'static str,
    /// What the paths of its nodes' types begin with.
    pub module: &'static str,
    /// Where the original is.
    pub source: &'static str,
    /// What tells one build of the pack from the next: part of the keys that its nodes' results are known by.
    pub version: &'static str,
    /// The original's licence; what is here is written anew and under the program's own.
    pub licence: &'static str,
}

crate::open_table!(pub PACK_TABLES: Pack = &[], "pack");

impl Pack {
    /// The pack of a type, by its path.
    pub(crate) fn of(path: &str) -> Option<&'static Self> {
        Self::all().iter().copied().find(|pack| path.starts_with(pack.module))
    }
}
