//! The layers of a model that a LoRA may change, by their names in ComfyUI.

use super::diffusers;
use crate::files::delta::Slot;
use crate::files::weights::Weights;
use crate::models::clip_names;

/// What a layer is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Unet,
    /// A text encoder, by its key (`clip_l`), and whether a CLIP-L is among the encoders.
    Encoder {
        key: String,
        beside_clip_l: bool,
    },
}

impl Part {
    /// Whether it is the text encoder of this key.
    pub fn is_encoder(&self, of: &str) -> bool {
        matches!(self, Part::Encoder { key, .. } if key == of)
    }
}

/// A tensor of a model.
#[derive(Clone, Debug)]
pub struct Layer {
    pub part: Part,
    /// Its name in ComfyUI: `diffusion_model.out.2.weight`, `clip_l.transformer.text_projection.weight`.
    pub name: String,
    /// The name without what stands for the part: `out.2.weight`, `text_projection.weight`.
    pub short: String,
    /// Its names in diffusers, for a UNet's weights.
    pub diffusers: Vec<String>,
    /// Where the file holds it.
    pub slot: Slot,
}

/// The tensors of a UNet.
pub fn unet(weights: &Weights) -> Vec<Layer> {
    let diffusers = diffusers::names(weights);
    let layer = |short: String| Layer {
        part: Part::Unet,
        name: format!("diffusion_model.{short}"),
        diffusers: diffusers.get(&short).cloned().unwrap_or_default(),
        slot: Slot::whole(weights.full_name(&short)),
        short,
    };
    weights.names().into_iter().map(layer).collect()
}

/// The tensors of a text encoder of this key.
pub fn encoder(key: &str, beside_clip_l: bool, weights: &Weights) -> Vec<Layer> {
    let layer = |(short, slot): (String, Slot)| Layer {
        part: Part::Encoder { key: key.to_owned(), beside_clip_l },
        name: format!("{key}.transformer.{short}"),
        short,
        diffusers: Vec::new(),
        slot,
    };
    clip_names::slots(weights).into_iter().map(layer).collect()
}
