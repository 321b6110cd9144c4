//! How much memory the models of a file will take, as far as its header tells.

use std::path::Path;

use anyhow::Result;
use tch::Kind;

use super::families::{Contents, recognise};
use crate::files::weights::Weights;
use crate::ops::numerics::Numerics;

/// In bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// What is converted when it is read, and held.
    pub held: u64,
    /// What stays in the file and is read from there, again if need be.
    pub mapped: u64,
}

impl Footprint {
    /// Of all models in a file.
    ///
    /// # Errors
    /// If the file is no model.
    pub fn of_file(path: &Path, numerics: &Numerics) -> Result<Self> {
        let weights = Weights::open(path)?;
        let Contents { model, text, vae, vision } = recognise(&weights)?;
        let network = model.map(|model| {
            // Every network but a UNet may stay as the file has it.
            let kind = if super::families::is_unet(&model.weights) {
                numerics.unet
            } else {
                numerics.transformer(&model.weights).kind
            };
            (model.weights, kind)
        });
        let encoders = text.into_iter().flat_map(|text| text.encoders).flatten();
        let encoders = encoders.map(|encoder| {
            let kind = kinds(&encoder).find(|kind| *kind != Kind::Float).unwrap_or(numerics.text);
            (encoder, kind)
        });
        let vision = vision.map(|vision| (vision.at("visual"), numerics.text));
        let parts = network.into_iter().chain(encoders).chain(vae.map(|vae| (vae, numerics.vae))).chain(vision);
        Ok(parts.fold(Self::default(), |sum, (part, kind)| sum.and(Self::of(&part, kind))))
    }

    /// Of tensors that are wanted in an element type.
    fn of(weights: &Weights, kind: Kind) -> Self {
        let (mut sum, size) = (Self::default(), kind.elt_size_in_bytes() as u64);
        for name in weights.names() {
            let numel = weights.shape(&name).map_or(0, |shape| shape.iter().product::<i64>().unsigned_abs());
            let same = weights.kind(&name).is_ok_and(|its| its == kind);
            *(if same { &mut sum.mapped } else { &mut sum.held }) += numel * size;
        }
        sum
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self { held: self.held + other.held, mapped: self.mapped + other.mapped }
    }
}

fn kinds(weights: &Weights) -> impl Iterator<Item = Kind> {
    weights.names().into_iter().filter_map(|name| weights.kind(&name).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models::random::{Layout, Size, write_random_checkpoint};

    #[test]
    fn what_is_converted_is_held_and_the_rest_stays_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        write_random_checkpoint(&path, Layout::Sd1, Size::Tiny, 1, false).unwrap();
        let weights = Weights::open(&path).unwrap();
        let encoder = weights.at("cond_stage_model").numel();
        let found = Footprint::of_file(&path, &Numerics::cpu()).unwrap();
        // In half precision the text encoder stays; network and VAE become float32.
        assert_eq!(found, Footprint { held: (weights.numel() - encoder) * 4, mapped: encoder * 2 });
    }
}
