//! How a family's checkpoints name the parts of a model.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use super::{Family, sd3, stable_diffusion};
use crate::files::written::Pending;
use crate::models::clip_names::{InOpenClip, in_open_clip};
use crate::recipes::saving::SavedEncoder;

/// Where checkpoints keep the denoising network.
pub const NETWORK: &str = "model.diffusion_model.";

/// Where they keep all text encoders, in all families but the oldest.
const TEXT_ENCODERS: &str = "text_encoders.";

/// Tokens in a chunk of CLIP's.
const TOKENS: i64 = 77;

impl Family {
    /// Where its checkpoints keep the autoencoder.
    pub fn vae_place(&self) -> &'static str {
        let is_old = !self.keeps_encoders_together() || *self == sd3::SD3;
        if is_old { "first_stage_model." } else { "vae." }
    }

    fn keeps_encoders_together(&self) -> bool {
        self.text_places.iter().flat_map(|places| places.iter()).any(|place| place.starts_with(TEXT_ENCODERS))
    }

    /// What its checkpoints say that they are, in the words of the modelspec; those of some families say nothing.
    pub fn architecture(&self) -> Option<&'static str> {
        match self {
            family if *family == stable_diffusion::SDXL => Some("stable-diffusion-xl-v1-base"),
            family if *family == stable_diffusion::SDXL_REFINER => Some("stable-diffusion-xl-v1-refiner"),
            family if *family == sd3::SD3 => Some("stable-diffusion-v3-medium"),
            _ => None,
        }
    }

    /// A text encoder's tensors under the names that its checkpoints have for them; nothing if they have no such encoder.
    pub fn named_in_checkpoint(&self, encoder: SavedEncoder) -> Result<Vec<Pending>> {
        let SavedEncoder { key, tensors, vocabulary } = encoder;
        if self.keeps_encoders_together() {
            let each = tensors.into_iter().map(|tensor| (format!("{TEXT_ENCODERS}{key}.{}", tensor.name), tensor));
            let vocabulary = vocabulary.map(|tensor| (format!("{TEXT_ENCODERS}{}", tensor.name), tensor));
            return Ok(each.chain(vocabulary).map(|(name, tensor)| tensor.named(name)).collect());
        }
        let at = self.text.encoders.iter().position(|usage| usage.key == key);
        let Some(place) = at.and_then(|at| self.text_places.get(at)?.first()) else { return Ok(Vec::new()) };
        match place.strip_suffix(".transformer") {
            Some(place) => Ok(self.plain(place, tensors)),
            None => open_clip(place, tensors),
        }
    }

    /// CLIP-L in Hugging Face's spelling, without what its first files left out.
    fn plain(&self, place: &str, tensors: Vec<Pending>) -> Vec<Pending> {
        let kept = tensors
            .into_iter()
            .filter(|tensor| !matches!(tensor.name.as_str(), "transformer.text_projection.weight" | "logit_scale"));
        let mut named: Vec<_> = kept.map(|tensor| (format!("{place}.{}", tensor.name), tensor)).map(renamed).collect();
        if *self == stable_diffusion::SDXL {
            let numbers = Tensor::arange(TOKENS, (Kind::Int64, Device::Cpu)).unsqueeze(0);
            named.push(Pending::of(format!("{place}.transformer.text_model.embeddings.position_ids"), numbers));
        }
        named
    }
}

fn renamed((name, tensor): (String, Pending)) -> Pending {
    tensor.named(name)
}

/// An encoder in OpenCLIP's spelling: queries, keys and values are one tensor.
fn open_clip(place: &str, tensors: Vec<Pending>) -> Result<Vec<Pending>> {
    let mut named = Vec::new();
    let mut thirds: BTreeMap<String, [Option<Pending>; 3]> = BTreeMap::new();
    for tensor in tensors {
        match tensor.name.strip_prefix("transformer.").and_then(in_open_clip) {
            Some(InOpenClip::Named(name)) => named.push(tensor.named(format!("{place}.{name}"))),
            Some(InOpenClip::Transposed(name)) => named.push(transposed(tensor).named(format!("{place}.{name}"))),
            Some(InOpenClip::Third(name, third)) => thirds.entry(name).or_default()[third] = Some(tensor),
            None => {
                let name = format!("{place}.{}", tensor.name);
                named.push(tensor.named(name));
            }
        }
    }
    for (name, parts) in thirds {
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        ensure!(parts.len() == 3, "the text encoder lacks a part of {name}; it is incomplete");
        named.push(stacked(format!("{place}.{name}"), parts));
    }
    Ok(named)
}

fn transposed(tensor: Pending) -> Pending {
    let shape = tensor.shape.iter().rev().copied().collect();
    let make = tensor.make;
    Pending { shape, make: Box::new(move || Ok(make()?.f_transpose(0, 1)?)), ..tensor }
}

/// Tensors of one width, one below the other.
fn stacked(name: String, parts: Vec<Pending>) -> Pending {
    let kind = parts[0].kind;
    let mut shape = parts[0].shape.clone();
    if let Some(rows) = shape.first_mut() {
        *rows = parts.iter().filter_map(|part| part.shape.first()).sum();
    }
    let makes: Vec<_> = parts.into_iter().map(|part| part.make).collect();
    let make = move || {
        let parts = makes.iter().map(|make| make()).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&parts, 0)?)
    };
    Pending { name, kind, shape, make: Box::new(make) }
}
