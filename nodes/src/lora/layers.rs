//! The layers of a model that a LoRA may change, by their names in ComfyUI.

use super::{diffusers, transformers};
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

/// A transformer's layer by its name in diffusers, without `.weight`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// Flux's, whose file has other names.
    Flux(String),
    /// Qwen-Image's, whose file has the same.
    QwenImage(String),
    /// HiDream's, whose file has the same.
    HiDream(String),
    /// Stable Diffusion 3's.
    Sd3(String),
    /// Z-Image's.
    ZImage(String),
    /// HunyuanVideo's, in the first release's names.
    HunyuanVideo(String),
    /// PixArt's.
    PixArt(String),
    /// AuraFlow's.
    AuraFlow(String),
    /// A part of Flux's that a trainer of its own names.
    Uso(String),
}

impl Named {
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Named::Flux(name)
            | Named::QwenImage(name)
            | Named::HiDream(name)
            | Named::Sd3(name)
            | Named::ZImage(name)
            | Named::HunyuanVideo(name)
            | Named::PixArt(name)
            | Named::AuraFlow(name)
            | Named::Uso(name) => name,
        }
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
    /// Its name in diffusers, for a transformer's weights, which may be parts of the original's.
    pub transformer: Option<Named>,
    /// Where the file holds it.
    pub slot: Slot,
}

/// The tensors of a UNet.
pub fn unet(weights: &Weights) -> Vec<Layer> {
    let diffusers = diffusers::names(weights);
    let of: Option<fn(String) -> Named> = if weights.contains("txt_norm.weight") {
        Some(Named::QwenImage)
    } else if weights.contains("caption_projection.0.linear.weight") {
        Some(Named::HiDream)
    } else {
        None
    };
    let named = |short: &str| Some(of?(short.strip_suffix(".weight")?.to_owned()));
    let layer = |short: String| Layer {
        part: Part::Unet,
        name: format!("diffusion_model.{short}"),
        diffusers: diffusers.get(&short).cloned().unwrap_or_default(),
        transformer: named(&short),
        slot: Slot::whole(weights.full_name(&short)),
        short,
    };
    let prefix = weights.full_name("");
    let split = transformers::named(weights).into_iter().map(|(theirs, slot)| Layer {
        part: Part::Unet,
        name: match slot.name.strip_prefix(&prefix) {
            // The same layer under another name.
            Some(short) if slot == Slot::whole(slot.name.clone()) => format!("diffusion_model.{short}"),
            _ => format!("transformer.{}.weight", theirs.name()),
        },
        short: String::new(),
        diffusers: Vec::new(),
        transformer: Some(theirs),
        slot,
    });
    weights.names().into_iter().map(layer).chain(split).collect()
}

/// The tensors of a text encoder of this key.
pub fn encoder(key: &str, beside_clip_l: bool, weights: &Weights) -> Vec<Layer> {
    let layer = |(short, slot): (String, Slot)| Layer {
        part: Part::Encoder { key: key.to_owned(), beside_clip_l },
        name: format!("{key}.transformer.{short}"),
        short,
        diffusers: Vec::new(),
        transformer: None,
        slot,
    };
    clip_names::slots(weights).into_iter().map(layer).collect()
}
