//! The tensors of models as they are written to files: under ComfyUI's names, in the element types in which networks hold them.

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use super::model::{Clip, Model, NO_TEXT_ENCODER, NO_VAE, VaeRecipe};
use crate::diffusion::parameterisation::Prediction;
use crate::files::delta::Slot;
use crate::files::weights::Weights;
use crate::files::written::Pending;
use crate::lora::layers;
use crate::models::families::is_unet;
use crate::models::text_recipes;
use crate::ops::layers::ensure_unscaled;
use crate::ops::numerics::Numerics;

/// A text encoder that is to be written.
pub struct SavedEncoder {
    /// Its key: `clip_l`.
    pub key: &'static str,
    /// Its tensors: `transformer.text_model.…`, `logit_scale`.
    pub tensors: Vec<Pending>,
    /// The vocabulary that its file holds.
    pub vocabulary: Option<Pending>,
}

/// ln of the temperature with which CLIP was trained, where a file does not have it.
const LOGIT_SCALE: f64 = 4.6055;

/// Tensors of text encoders that are no weights of ComfyUI's networks.
const LEFT_OUT: [&str; 5] =
    ["encoder.embed_tokens.weight", "lm_head.weight", "position_ids", "logit_scale", "spiece_model"];

impl Model {
    /// The tensors of its network, by their names within it.
    ///
    /// # Errors
    /// If weights are of 8 bits with a scale.
    pub fn pending(&self, numerics: &Numerics) -> Result<Vec<Pending>> {
        let weights = &self.part.weights;
        let held = if is_unet(weights) { numerics.unet } else { numerics.transformer(weights).kind };
        all(weights, held)
    }

    /// Tensors that say by their names what a network predicts, for files of the whole model.
    pub fn markers(&self) -> Vec<Pending> {
        let empty = |name: &str| Pending::of(name, Tensor::zeros([0], (Kind::Float, Device::Cpu)));
        let number = |name: &str, value: f32| Pending::of(name, Tensor::from(value));
        let (own, now) = (&self.part.parameterisation, self.sampling());
        let mut found = Vec::new();
        if now.is_continuous_velocity() {
            found.push(number("edm_vpred.sigma_max", now.sigma_max()));
            found.push(number("edm_vpred.sigma_min", now.sigma_min()));
        }
        if own.prediction() == Prediction::Velocity && !own.is_continuous_velocity() {
            found.push(empty("v_pred"));
            found.extend(now.has_zero_terminal_snr().then(|| empty("ztsnr")));
        }
        found
    }
}

impl VaeRecipe {
    /// The tensors of the autoencoder, by their names within it.
    ///
    /// # Errors
    /// If there is none; if weights are of 8 bits with a scale.
    pub fn pending(&self, numerics: &Numerics) -> Result<Vec<Pending>> {
        all(self.weights.as_ref().context(NO_VAE)?, numerics.vae)
    }
}

impl Clip {
    /// The tensors of each of its text encoders.
    ///
    /// # Errors
    /// If there are none; if weights are of 8 bits with a scale.
    pub fn pending(&self, numerics: &Numerics) -> Result<Vec<SavedEncoder>> {
        let text = self.text.as_ref().context(NO_TEXT_ENCODER)?;
        let present = text.recipe.encoders.iter().zip(&text.encoders);
        let present = present.filter_map(|(usage, weights)| Some((usage.key, weights.as_ref()?)));
        present.map(|(key, weights)| encoder(key, weights, numerics)).collect()
    }
}

fn encoder(key: &'static str, weights: &Weights, numerics: &Numerics) -> Result<SavedEncoder> {
    let held = text_recipes::held(weights, numerics)?;
    let mut tensors = Vec::new();
    for layer in layers::encoder(key, false, weights) {
        if !LEFT_OUT.iter().any(|name| layer.short.ends_with(name)) {
            tensors.push(pending(weights, layer.slot, format!("transformer.{}", layer.short), held)?);
        }
    }
    tensors.push(Pending::of("logit_scale", logit_scale(weights)?));
    let beside = weights.whole().at("text_encoders");
    let vocabulary = [weights, &beside].into_iter().find(|weights| weights.contains("spiece_model"));
    let vocabulary = vocabulary.map(|weights| {
        let slot = Slot::whole(weights.full_name("spiece_model"));
        pending(weights, slot, "spiece_model".to_owned(), held)
    });
    Ok(SavedEncoder { key, tensors, vocabulary: vocabulary.transpose()? })
}

/// As a checkpoint has it, beside the network or within it.
fn logit_scale(weights: &Weights) -> Result<Tensor> {
    let prefix = weights.full_name("");
    let above = prefix.strip_suffix("transformer.");
    let name = [above, Some(prefix.as_str())].into_iter().flatten().map(|place| format!("{place}logit_scale"));
    let whole = weights.whole();
    match name.into_iter().find(|name| name != "logit_scale" && whole.contains(name)) {
        Some(name) => whole.tensor_as(&name, &[], Kind::Float),
        None => Ok(Tensor::from(LOGIT_SCALE as f32)),
    }
}

fn all(weights: &Weights, held: Kind) -> Result<Vec<Pending>> {
    let each = |name: String| pending(weights, Slot::whole(weights.full_name(&name)), name, held);
    weights.names().into_iter().map(each).collect()
}

/// A part of a tensor, floating-point numbers as they are held.
///
/// # Errors
/// If it is of 8 bits with a scale.
fn pending(weights: &Weights, slot: Slot, name: String, held: Kind) -> Result<Pending> {
    ensure_unscaled(weights, &slot.name)?;
    let own = weights.whole().kind(&slot.name)?;
    let is_integer = matches!(own, Kind::Int64 | Kind::Int | Kind::Int16 | Kind::Int8 | Kind::Uint8 | Kind::Bool);
    let kind = if is_integer { own } else { held };
    let (shape, weights) = (weights.part_shape(&slot)?, weights.clone());
    Ok(Pending { name, kind, shape, make: Box::new(move || weights.part(&slot, kind)) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use redraft_engine::error::Unsupported;

    use super::*;
    use crate::files::tensor_file;

    #[test]
    fn matrices_with_a_scale_are_not_saved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let one = Tensor::from_slice(&[1f32]);
        tensor_file::save(&path, ["a.weight", "b.c.weight", "b.c.scale_weight"].map(|name| (name, &one))).unwrap();
        let file = Weights::open(path).unwrap();
        assert_eq!(all(&file.at("a"), Kind::Half).unwrap().len(), 1);
        let error = all(&file, Kind::Half).err().unwrap();
        assert!(error.is::<Unsupported>() && error.to_string().starts_with("b.c.weight in"), "{error}");
    }
}
