//! Other names for a file's tensors, for networks that are read in one layout from files in another.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tch::Tensor;

use super::delta::Digest;

/// A tensor under another name than its file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The file's tensors that are stacked along the first dimension to make it; at least one.
    pub parts: Vec<String>,
    /// The order of its rows.
    pub rows: Rows,
}

/// In what order the rows of a file's tensor are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    #[default]
    AsStored,
    /// The second half in front of the first.
    HalvesSwapped,
    /// Of each so many rows those at even places in front of those at odd ones.
    Unpaired(i64),
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
        for (name, Named { parts, rows }) in &self.0 {
            text(name);
            parts.iter().for_each(|part| text(part));
            match rows {
                Rows::AsStored => text(""),
                Rows::HalvesSwapped => text("swapped"),
                Rows::Unpaired(head) => text(&format!("unpaired {head}")),
            }
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
        self.0.insert(name.into(), Named::whole(of_file));
    }

    /// Adds a name for a tensor whose rows stand in pairs: of each `head` rows those at even places are asked for in front of the others.
    pub fn unpair(&mut self, name: impl Into<String>, of_file: impl Into<String>, head: i64) {
        self.0.insert(name.into(), Named { rows: Rows::Unpaired(head), ..Named::whole(of_file) });
    }

    /// Adds a name for several tensors that are stacked.
    pub fn stack(&mut self, name: impl Into<String>, of_file: impl IntoIterator<Item = String>) {
        self.0.insert(name.into(), Named { parts: of_file.into_iter().collect(), rows: Rows::AsStored });
    }
}

impl Named {
    /// A tensor of the file as it is.
    pub(super) fn whole(of_file: impl Into<String>) -> Self {
        Self { parts: vec![of_file.into()], rows: Rows::AsStored }
    }

    /// The one tensor that it is, if it is one as it stands in the file.
    pub(super) fn as_whole(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [only] if self.rows == Rows::AsStored => Some(only),
            _ => None,
        }
    }
}

impl Rows {
    /// A tensor with its rows in this order.
    ///
    /// # Errors
    /// If they cannot be parted so.
    pub(super) fn ordered(self, tensor: Tensor) -> Result<Tensor> {
        let rows = tensor.size().first().copied().unwrap_or(0);
        Ok(match self {
            Rows::AsStored => tensor,
            Rows::HalvesSwapped => Tensor::f_cat(&tensor.f_chunk(2, 0)?.into_iter().rev().collect::<Vec<_>>(), 0)?,
            Rows::Unpaired(head) => {
                ensure!(rows % head == 0 && head % 2 == 0, "{rows} rows cannot be parted into heads of {head}");
                let size = tensor.size();
                tensor.f_reshape([rows / head, head / 2, 2, -1])?.f_transpose(1, 2)?.f_reshape(size)?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::{Device, Kind};

    use super::*;
    use crate::files::delta::{Delta, Slot};
    use crate::files::gathered::Gathered;
    use crate::files::named_tensors::NamedTensors;
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

    #[test]
    fn parts_that_cannot_be_stacked_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("net.safetensors");
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let tensors =
            [("wide", zeros(&[2, 3])), ("narrow", zeros(&[2, 2])), ("deep", zeros(&[2, 3, 1])), ("row", zeros(&[]))];
        tensor_file::save(&path, tensors.iter().map(|(name, tensor)| (*name, tensor))).unwrap();
        let file = Weights::open(&path).unwrap();
        for other in ["narrow", "deep", "row"] {
            let mut names = Names::default();
            names.stack("qkv", ["wide".to_owned(), other.to_owned()]);
            names.add("one", "wide");
            let named = file.named(names);
            let message = format!("{:#}", named.shape("qkv").unwrap_err());
            for part in ["wide, ", other, "net.safetensors", "[2, 3]", "cannot be stacked; the file is damaged"] {
                assert!(message.contains(part), "{part} is missing in: {message}");
            }
            assert!(named.tensor("qkv", &[4, 3]).is_err() && named.dim("qkv", 0).is_err());
            assert_eq!(named.numel(), 6);
        }
        let mut names = Names::default();
        names.stack("qkv", ["wide".to_owned(), "gone".to_owned()]);
        assert!(file.named(names).shape("qkv").unwrap_err().to_string().contains("has no tensor qkv"));
    }

    /// The network is kept alive, so that what is read anew cannot lie in the same place.
    #[test]
    fn room_is_made_without_losing_what_has_another_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("net.safetensors");
        let ones = Tensor::ones([1000], (Kind::Half, Device::Cpu));
        tensor_file::save(&path, [("a", &ones), ("b", &ones)]).unwrap();
        let mut names = Names::default();
        ["a", "b"].into_iter().for_each(|name| names.add(format!("x.{name}"), name));
        let gathered = Gathered::new(&path).with(NamedTensors::open(&path).unwrap(), |name| Some(format!("x.{name}")));
        for weights in [Weights::open(&path).unwrap().named(names), Weights::gathered(gathered)] {
            let networks = Networks::with_limit(Numerics::cpu(), 8_000);
            let read = |weights: &Weights| {
                let both = |w: &Weights| Ok(std::rc::Rc::new(["a", "b"].map(|name| w.tensor(name, &[1000]).unwrap())));
                networks.get(&weights.at("x"), |w, _| both(w)).unwrap()
            };
            let plain = read(&weights);
            let changed = read(&weights.changed(Delta::multiply([(Slot::whole("x.a"), 2.0)])));
            assert_eq!((changed[1].data_ptr(), networks.bytes()), (plain[1].data_ptr(), 8_000));
            assert_eq!(changed[0].double_value(&[0]), 2.0);
        }
    }
}
