//! Models that are added to each other, weight by weight.

use std::rc::Rc;

use anyhow::Result;
use tch::{Kind, Tensor};

use super::delta::{Change, Delta, Slot, hash_slot};
use super::weights::Weights;

/// What a weight is multiplied by, and what the other model's is before it is added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    pub own: f64,
    pub other: f64,
}

impl Factors {
    /// So much of the own weight, from 0 to 1, and the rest of the other.
    pub fn ratio(own: f64) -> Self {
        Self { own, other: 1.0 - own }
    }
}

/// Where a weight lies, where the other model has it, and what both are multiplied by.
pub struct Pair {
    pub own: Slot,
    pub other: Slot,
    pub factors: Factors,
}

impl Pair {
    /// Whether it changes the weight.
    pub fn changes(&self) -> bool {
        self.factors != Factors::ratio(1.0)
    }
}

/// The other model's weight added.
struct Added {
    other: Weights,
    slot: Slot,
    factors: Factors,
}

impl Change for Added {
    fn apply(&self, weight: &Tensor, held: Kind) -> Result<Tensor> {
        let Factors { own, other } = self.factors;
        let scaled = if own == 1.0 { weight.shallow_clone() } else { weight * own };
        if other == 0.0 {
            return Ok(scaled);
        }
        if self.other.part_shape(&self.slot)? != scaled.size() {
            // Whoever made the pair has said so. The own weight stays scaled, as ComfyUI leaves it.
            return Ok(scaled);
        }
        let theirs = self.other.operand(&self.slot, held, scaled.device())?.to_kind(scaled.kind());
        Ok(scaled + theirs * other)
    }
}

impl Delta {
    /// Weights of another model added to those of this one, in the given order. Where the two have other shapes, the own weight is scaled,
    /// and nothing is added.
    pub fn merge(other: &Weights, pairs: impl IntoIterator<Item = Pair>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"merge").update(&other.digest());
        let changes: Vec<(Slot, Rc<dyn Change>)> = pairs
            .into_iter()
            .filter(Pair::changes)
            .map(|Pair { own, other: slot, factors }| {
                hash_slot(&mut hasher, &own);
                hash_slot(&mut hasher, &slot);
                hasher.update(&factors.own.to_le_bytes()).update(&factors.other.to_le_bytes());
                (own, Rc::new(Added { other: other.clone(), slot, factors }) as Rc<dyn Change>)
            })
            .collect();
        Self::new(*hasher.finalize().as_bytes(), changes).taking(other.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::files::tensor_file;
    use crate::ops::numerics::Placement;

    fn weights(dir: &std::path::Path, name: &str, tensors: &[(&str, Tensor)]) -> Weights {
        let path = dir.join(name);
        tensor_file::save(&path, tensors.iter().map(|(name, tensor)| (*name, tensor))).unwrap();
        Weights::open(path).unwrap()
    }

    fn merged(own: &Weights, other: &Weights, name: &str, factors: Factors) -> Weights {
        own.changed(Delta::merge(other, [Pair { own: Slot::whole(name), other: Slot::whole(name), factors }]))
    }

    fn values(weights: &Weights, name: &str) -> Vec<f64> {
        let shape = weights.shape(name).unwrap();
        weights.tensor(name, &shape).unwrap().flatten(0, -1).try_into().unwrap()
    }

    #[test]
    fn the_other_is_added_with_its_own_changes() {
        let dir = tempfile::tempdir().unwrap();
        let one = weights(dir.path(), "one.safetensors", &[("w", Tensor::from_slice(&[1f32, 2.0]))]);
        let two = weights(dir.path(), "two.safetensors", &[("w", Tensor::from_slice(&[10f32, -4.0]))]);
        let twice = two.changed(Delta::multiply([(Slot::whole("w"), 2.0)]));
        let both = merged(&one, &twice, "w", Factors::ratio(0.25));
        assert_eq!(values(&both, "w"), [15.25, -5.5]);
        // A merge of merges, and changes behind one.
        let again = merged(&both, &both, "w", Factors { own: -1.0, other: 2.0 });
        assert_eq!(values(&again.changed(Delta::multiply([(Slot::whole("w"), 4.0)])), "w"), [61.0, -22.0]);
        assert_ne!(both.digest(), merged(&one, &two, "w", Factors::ratio(0.25)).digest());
        assert_ne!(both.digest(), merged(&one, &twice, "w", Factors::ratio(0.5)).digest());
        assert_eq!(one.digest(), merged(&one, &two, "w", Factors::ratio(1.0)).digest(), "nothing is changed");
    }

    #[test]
    fn another_shape_is_not_added_and_the_own_stays_scaled() {
        let dir = tempfile::tempdir().unwrap();
        let one = weights(dir.path(), "one.safetensors", &[("w", Tensor::from_slice(&[1f32, 2.0]))]);
        let two = weights(dir.path(), "two.safetensors", &[("w", Tensor::from_slice(&[1f32]))]);
        assert_eq!(values(&merged(&one, &two, "w", Factors::ratio(0.5)), "w"), [0.5, 1.0]);
    }

    /// Weights that are held in half precision are rounded to it before they are taken, and once at the end.
    #[test]
    fn weights_are_taken_as_they_are_held() {
        let dir = tempfile::tempdir().unwrap();
        let one = weights(dir.path(), "one.safetensors", &[("w", Tensor::from_slice(&[1.0f32]))]);
        let two = weights(dir.path(), "two.safetensors", &[("w", Tensor::from_slice(&[1.0f32 + 3.0 / 4096.0]))]);
        let factors = Factors { own: 1.0, other: 1024.0 };
        let held = merged(&one, &two, "w", factors).placed(Placement::cpu(Kind::Half));
        // 1 + 3/4096 is 1 + 1/1024 in half precision.
        assert_eq!(values(&held, "w"), [1026.0]);
    }

    #[test]
    fn a_file_that_is_written_to_meanwhile_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let one = weights(dir.path(), "one.safetensors", &[("w", Tensor::from_slice(&[1f32]))]);
        let two = weights(dir.path(), "two.safetensors", &[("w", Tensor::from_slice(&[1f32]))]);
        let both = merged(&one, &two, "w", Factors::ratio(0.5));
        weights(dir.path(), "longer.safetensors", &[("w", Tensor::from_slice(&[1f32, 2.0]))]);
        std::fs::copy(dir.path().join("longer.safetensors"), two.path()).unwrap();
        let error = both.tensor("w", &[1]).unwrap_err().to_string();
        assert!(error.contains("two.safetensors was changed while it was in use"), "{error}");
    }
}
