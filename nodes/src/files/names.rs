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
    /// The names that `named` gives to tensors of a file; those to which it gives none are left out.
    pub fn of(tensors: &[String], named: impl Fn(&str) -> Option<String>) -> Self {
        let mut names = Self::default();
        for of_file in tensors {
            if let Some(name) = named(of_file) {
                names.add(name, of_file);
            }
        }
        names
    }

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::Tensor;

    use super::*;
    use crate::files::tensor_file;
    use crate::files::weights::Weights;
    use crate::networks::Networks;
    use crate::ops::numerics::Numerics;

    #[test]
    fn tensors_are_found_by_their_other_names_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("net.safetensors");
        let row = |values: &[f32]| Tensor::from_slice(values).view([1, 2]);
        let (q, k, own) = (row(&[1.0, 2.0]), row(&[3.0, 4.0]), row(&[5.0, 6.0]));
        tensor_file::save(&path, [("to_q", &q), ("to_k", &k), ("own", &own)]).unwrap();
        let file = Weights::open(&path).unwrap();
        let mut names = Names::default();
        names.stack("block.qkv", ["to_q".to_owned(), "to_k".to_owned()]);
        names.add("block.other", "own");
        let named = file.named(names);
        let block = named.at("block");
        assert_eq!((block.names(), block.numel()), (vec!["other".to_owned(), "qkv".to_owned()], 6));
        assert_eq!((block.shape("qkv").unwrap(), block.dim("other", 1).unwrap()), (vec![2, 2], 2));
        assert!(!named.contains("to_q") && named.at("to_q").is_empty() && named.shape("own").is_err());
        let networks = Networks::with_limit(Numerics::cpu(), 1 << 20);
        for _ in 0..2 {
            let read = networks.get(&block, |w, _| Ok(std::rc::Rc::new(w.tensor("qkv", &[2, 2])?))).unwrap();
            assert_eq!(Vec::<f32>::try_from(read.flatten(0, -1)).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        }
        assert_ne!(named.digest(), file.digest());
        let mut others = Names::default();
        others.stack("block.qkv", ["to_k".to_owned(), "to_q".to_owned()]);
        assert_ne!(file.named(others).digest(), named.digest());
    }
}
