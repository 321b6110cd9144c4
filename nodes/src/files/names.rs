//! Other names for a file's tensors, for networks that are read in one layout from files in another.

use std::collections::BTreeMap;

use super::delta::Digest;

/// A tensor under another name than its file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The file's tensors that are stacked along the first dimension to make it; at least one.
    pub parts: Vec<String>,
    /// Whether the second half of its rows stands in front of the first.
    pub halves_swapped: bool,
}

/// Names for tensors of a file: what is asked for by them, and what the file has for each. Tensors without one are not seen.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, Named>);

impl Names {
    /// What tells these names from others.
    pub(super) fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        };
        for (name, Named { parts, halves_swapped }) in &self.0 {
            text(name);
            parts.iter().for_each(|part| text(part));
            text(if *halves_swapped { "swapped" } else { "" });
        }
        *hasher.finalize().as_bytes()
    }

    /// What the file has for a name.
    pub(super) fn get(&self, name: &str) -> Option<&Named> {
        self.0.get(name)
    }

    /// The names that start with `prefix`, sorted.
    pub(super) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .range(prefix.to_owned()..)
            .map(|(name, _)| name.as_str())
            .take_while(move |name| name.starts_with(prefix))
    }

    /// Adds a name for a tensor of the file.
    pub fn add(&mut self, name: impl Into<String>, of_file: impl Into<String>) {
        self.0.insert(name.into(), Named { parts: vec![of_file.into()], halves_swapped: false });
    }

    /// Adds a name for several tensors that are stacked.
    pub fn stack(&mut self, name: impl Into<String>, of_file: impl IntoIterator<Item = String>) {
        self.0.insert(name.into(), Named { parts: of_file.into_iter().collect(), halves_swapped: false });
    }
}

impl Named {
    /// The one tensor that it is, if it is one as it stands in the file.
    pub(super) fn whole(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [only] if !self.halves_swapped => Some(only),
            _ => None,
        }
    }
}
