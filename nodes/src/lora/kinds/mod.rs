//! The table of kinds: what can lie behind a layer's name in a file.

mod blocks;
mod glora;
mod hadamard;
mod kronecker;
mod low_rank;
mod plain;
mod tucker;

use std::rc::Rc;

use anyhow::{Context, Result};
use tracing::warn;

use super::adapter::{Adapter, Added, Difference};
use super::file::{LoraFile, Stored};

/// What was read: a change, if its tensors are there.
type Found = Result<Option<Rc<dyn Adapter>>>;

/// A row: what a kind of change is read from.
struct Kind {
    /// What of the layer it changes.
    of: Of,
    /// Takes its tensors, if they are there. An error if some are missing or cannot belong together.
    read: fn(&Entry) -> Found,
}

/// A part of a layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Weight,
    Bias,
}

/// Every kind. Where a file has several for one weight, the last counts, as in ComfyUI.
const KINDS: [Kind; 11] = [
    Kind { of: Of::Weight, read: low_rank::read },
    Kind { of: Of::Weight, read: hadamard::read },
    Kind { of: Of::Weight, read: kronecker::read },
    Kind { of: Of::Weight, read: glora::read },
    Kind { of: Of::Weight, read: blocks::read_oft },
    Kind { of: Of::Weight, read: blocks::read_boft },
    Kind { of: Of::Weight, read: |entry| plain::added(entry, "w_norm") },
    Kind { of: Of::Bias, read: |entry| if entry.has("w_norm") { plain::added(entry, "b_norm") } else { Ok(None) } },
    Kind { of: Of::Weight, read: |entry| plain::added(entry, "diff") },
    Kind { of: Of::Bias, read: |entry| plain::added(entry, "diff_b") },
    Kind { of: Of::Weight, read: plain::set },
];

/// What a file has behind a key, for a layer of this name, with the names of what it changes. Warns of what cannot be read.
pub(super) fn read(file: &Rc<LoraFile>, key: &str, layer: &str) -> Vec<(String, Rc<dyn Adapter>)> {
    if !file.any_under(key) {
        return Vec::new();
    }
    let entry = Entry { file, key };
    let mut found = Vec::new();
    for kind in &KINDS {
        let name = match kind.of {
            Of::Weight => layer.to_owned(),
            Of::Bias => format!("{}.bias", layer.strip_suffix(".weight").unwrap_or(layer)),
        };
        match (kind.read)(&entry) {
            Ok(Some(adapter)) => found.push((name, adapter)),
            Ok(None) => {}
            Err(error) => warn!("{file}: {key} is left out: {error:#}"),
        }
    }
    // ComfyUI knows these beside any kind, and alone.
    for beside in ["alpha", "dora_scale"] {
        entry.take(beside);
    }
    found
}

/// A key of a file.
struct Entry<'a> {
    file: &'a Rc<LoraFile>,
    key: &'a str,
}

impl Entry<'_> {
    /// The tensor `KEY.name`, if there is one; `name` may begin with `_` in place of the dot.
    fn take(&self, name: &str) -> Option<Stored> {
        let dot = if name.starts_with('_') { "" } else { "." };
        self.file.take(format!("{}{dot}{name}", self.key))
    }

    fn has(&self, name: &str) -> bool {
        self.take(name).is_some()
    }

    /// A tensor without which the kind is incomplete.
    fn need(&self, name: &str) -> Result<Stored> {
        self.take(name).with_context(|| format!("it has no {name}"))
    }

    fn alpha(&self) -> Result<Option<f64>> {
        self.take("alpha").map(|alpha| alpha.number()).transpose()
    }

    /// A difference with the alpha and the lengths (DoRA) that the file has for it.
    fn added<D: Difference + 'static>(&self, difference: D) -> Result<Option<Rc<dyn Adapter>>> {
        let lengths = self.take("dora_scale");
        Ok(Some(Rc::new(Added { difference, alpha: self.alpha()?, lengths, padded: None })))
    }
}
