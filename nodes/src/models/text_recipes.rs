//! How prompts become conditionings: which text encoders a family has, how each is used, and how their outputs are joined.

use std::fmt;
use std::rc::Rc;

use anyhow::{Result, bail};
use tch::Tensor;

use super::clip_text::{ClipKind, ClipText};
use super::t5::T5;
use crate::files::weights::Weights;
use crate::networks::Networks;
use crate::text::encode::{ClipEncoder, ClipUse, Encoded, TextEncoder};
use crate::text::t5::{T5Encoder, T5Use};

/// A row: how a family encodes its prompts.
pub struct TextRecipe {
    /// The encoders, in the order in which their outputs are joined.
    pub encoders: &'static [EncoderUse],
    /// What each encoder made of a prompt, in that order, as one.
    pub joined: fn(Vec<Encoded>) -> Result<Encoded>,
}

/// One encoder of a recipe.
pub struct EncoderUse {
    /// Its name in embedding files and LoRAs: `clip_l`.
    pub key: &'static str,
    /// The encoder over a file's tensors.
    pub open: fn(&Networks, &Weights) -> Result<Rc<dyn TextEncoder>>,
}

/// What a file with a text encoder alone holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderKind {
    Clip(ClipKind),
    T5Xxl,
}

impl EncoderKind {
    /// What the text encoder below `weights` is, if it is one that a recipe uses.
    pub fn of(weights: &Weights) -> Option<EncoderKind> {
        if T5::is_in(weights) {
            return Some(EncoderKind::T5Xxl);
        }
        ClipKind::of(weights).map(EncoderKind::Clip)
    }

    /// Its name in recipes, embedding files and LoRAs.
    pub fn key(self) -> &'static str {
        match self {
            EncoderKind::Clip(ClipKind::L) => "clip_l",
            EncoderKind::Clip(ClipKind::H) => "clip_h",
            EncoderKind::Clip(ClipKind::G) => "clip_g",
            EncoderKind::T5Xxl => "t5xxl",
        }
    }
}

impl fmt::Display for EncoderKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            EncoderKind::Clip(kind) => kind.fmt(f),
            EncoderKind::T5Xxl => f.write_str("T5-XXL"),
        }
    }
}

/// What CLIP's end-of-text token fills up.
const END: u32 = 49407;

macro_rules! clip {
    ($key:literal, $usage:expr) => {
        EncoderUse {
            key: $key,
            open: |networks, weights| {
                static USAGE: ClipUse = ClipUse { key: $key, ..$usage };
                Ok(Rc::new(ClipEncoder {
                    network: networks.get(weights, |w, n| ClipText::load(w, n).map(Rc::new))?,
                    usage: &USAGE,
                }))
            },
        }
    };
}

macro_rules! t5 {
    ($key:literal, $least:literal) => {
        EncoderUse {
            key: $key,
            open: |networks, weights| {
                static USAGE: T5Use = T5Use { key: $key, least: $least };
                Ok(Rc::new(T5Encoder { network: networks.get(weights, |w, n| T5::load(w, n).map(Rc::new))?, usage: &USAGE }))
            },
        }
    };
}

const LAST: ClipUse = ClipUse { key: "", pad: END, layer: None, norms_hidden: true, projects: false };
const PENULTIMATE: ClipUse = ClipUse { layer: Some(-2), norms_hidden: false, ..LAST };

/// Stable Diffusion 1.x: CLIP-L.
pub static SD1: TextRecipe = TextRecipe { encoders: &[clip!("clip_l", LAST)], joined: only };

/// Stable Diffusion 2.x: OpenCLIP-H.
pub static SD2: TextRecipe = TextRecipe {
    encoders: &[clip!("clip_h", ClipUse { pad: 0, norms_hidden: true, projects: true, ..PENULTIMATE })],
    joined: only,
};

/// SDXL: CLIP-L and OpenCLIP-bigG.
pub static SDXL: TextRecipe = TextRecipe {
    encoders: &[clip!("clip_l", PENULTIMATE), clip!("clip_g", ClipUse { pad: 0, projects: true, ..PENULTIMATE })],
    joined: along_channels,
};

/// SDXL's refiner: OpenCLIP-bigG.
pub static SDXL_REFINER: TextRecipe =
    TextRecipe { encoders: &[clip!("clip_g", ClipUse { pad: 0, projects: true, ..PENULTIMATE })], joined: only };

/// Flux: T5's states, CLIP-L's pooled vector.
pub static FLUX: TextRecipe = TextRecipe {
    encoders: &[clip!("clip_l", LAST), t5!("t5xxl", 256)],
    joined: |all| {
        let mut all = all.into_iter();
        match (all.next(), all.next()) {
            (Some(clip), Some(t5)) => Ok(Encoded { cond: t5.cond, pooled: clip.pooled }),
            _ => bail!("a prompt was encoded by too few encoders; this is a bug"),
        }
    },
};

impl TextRecipe {
    /// The recipe for a file that is a CLIP text encoder alone, and the encoder's tensors.
    pub fn alone(weights: &Weights) -> Option<(&'static TextRecipe, Weights)> {
        let recipe = match ClipKind::of(weights)? {
            ClipKind::L => &SD1,
            ClipKind::H => &SD2,
            ClipKind::G => &SDXL_REFINER,
        };
        Some((recipe, weights.clone()))
    }
}

/// Of one encoder.
fn only(mut all: Vec<Encoded>) -> Result<Encoded> {
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => bail!("a prompt was encoded more than once; this is a bug"),
    }
}

/// Side by side along the channels; the longer text is cut to the shorter. The last encoder's pooled vector counts.
fn along_channels(all: Vec<Encoded>) -> Result<Encoded> {
    let tokens = all.iter().map(|encoded| encoded.cond.size()[1]).min().unwrap_or(0);
    let cut: Vec<Tensor> = all.iter().map(|encoded| encoded.cond.narrow(1, 0, tokens)).collect();
    Ok(Encoded { cond: Tensor::cat(&cut, -1), pooled: all.into_iter().next_back().and_then(|last| last.pooled) })
}
