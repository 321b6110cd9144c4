//! How prompts become conditionings: which text encoders a family has, how each is used, and how their outputs are joined.

use std::fmt;
use std::rc::Rc;

use anyhow::{Result, bail};
use redraft_engine::folders::FolderPaths;
use tch::{Device, Kind, Tensor};

use super::clip_text::{ClipKind, ClipText};
use super::families::TextPart;
use super::qwen::Qwen;
use super::qwen_templates;
use super::t5::T5;
use super::token_table;
use crate::files::weights::Weights;
use crate::networks::Networks;
use crate::ops::numerics::Numerics;
use crate::text::encode::{ClipEncoder, ClipUse, Encoded, TextEncoder};
use crate::text::language::{LanguageEncoder, LanguageUse};
use crate::text::llama::{self, LlamaEncoder};
use crate::text::sentence_pieces::SentencePieces;
use crate::text::t5::{Filling, T5Encoder, T5Use};
use crate::text::vocabularies;

/// A row: how a family encodes its prompts.
pub struct TextRecipe {
    /// The encoders, in the order in which their outputs are joined.
    pub encoders: &'static [EncoderUse],
    /// What each encoder made of a prompt, in that order, as one. Where an encoder made nothing, there is none: only of those that a model
    /// can do without.
    pub joined: fn(Vec<Option<Encoded>>) -> Result<Encoded>,
    /// Whether a model can do without some of them.
    pub optional: bool,
}

/// One encoder of a recipe.
pub struct EncoderUse {
    /// Its name in embedding files and LoRAs: `clip_l`.
    pub key: &'static str,
    /// The encoder over a file's tensors; some take a file more, which lies in a folder of the user's.
    pub open: fn(&Networks, &Weights, &FolderPaths) -> Result<Rc<dyn TextEncoder>>,
}

/// What a file with a text encoder alone holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderKind {
    Clip(ClipKind),
    T5Xxl,
    Umt5Xxl,
    Qwen3,
    Qwen25Vl,
    Llama3,
}

impl EncoderKind {
    /// What the text encoder below `weights` is, if it is one that a recipe uses.
    pub fn of(weights: &Weights) -> Option<EncoderKind> {
        if T5::is_in(weights) {
            let multilingual = T5::has_distances_everywhere(weights);
            return Some(if multilingual { EncoderKind::Umt5Xxl } else { EncoderKind::T5Xxl });
        }
        if Qwen::is_in(weights) && weights.contains("model.layers.0.self_attn.q_norm.weight") {
            return Some(EncoderKind::Qwen3);
        }
        // The 3B has keys of 256.
        let biased = weights.dim("model.layers.0.self_attn.k_proj.bias", 0);
        if Qwen::is_in(weights) && biased.is_ok_and(|rows| rows != 256) {
            return Some(EncoderKind::Qwen25Vl);
        }
        if Qwen::is_llama(weights) {
            return Some(EncoderKind::Llama3);
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
            EncoderKind::Umt5Xxl => "umt5xxl",
            EncoderKind::Qwen3 => "qwen3_4b",
            EncoderKind::Qwen25Vl => "qwen25_7b",
            EncoderKind::Llama3 => "llama",
        }
    }
}

impl fmt::Display for EncoderKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            EncoderKind::Clip(kind) => kind.fmt(f),
            EncoderKind::T5Xxl => f.write_str("T5-XXL"),
            EncoderKind::Umt5Xxl => f.write_str("UMT5-XXL"),
            EncoderKind::Qwen3 => f.write_str("Qwen 3"),
            EncoderKind::Qwen25Vl => f.write_str("Qwen 2.5-VL"),
            EncoderKind::Llama3 => f.write_str("Llama 3"),
        }
    }
}

/// The element type in which a text encoder's weights are held.
pub fn held(weights: &Weights, numerics: &Numerics) -> Result<Kind> {
    let tables = ["shared.weight", "model.embed_tokens.weight"];
    match tables.into_iter().find(|name| weights.contains(name)) {
        Some(table) => Ok(token_table::placement(weights, table, numerics)?.kind),
        None => Ok(numerics.text().kind),
    }
}

/// What CLIP's end-of-text token fills up.
const END: u32 = 49407;

macro_rules! clip {
    ($key:literal, $usage:expr) => {
        EncoderUse {
            key: $key,
            open: |networks, weights, _| {
                static USAGE: ClipUse = ClipUse { key: $key, ..$usage };
                let network = networks.get(weights, |w, n| ClipText::load(w, n).map(Rc::new))?;
                Ok(Rc::new(ClipEncoder::new(network, &USAGE)))
            },
        }
    };
}

/// How T5 is used where nothing is hidden, with so many tokens at least.
const fn plain_t5(key: &'static str, least: usize) -> T5Use {
    T5Use { key, least, filling: Filling::Seen, empty_ends: true }
}

macro_rules! t5 {
    ($key:literal, $usage:expr) => {
        EncoderUse {
            key: $key,
            open: |networks, weights, _| {
                static USAGE: T5Use = $usage;
                let vocabulary = vocabularies::t5()?;
                Ok(Rc::new(T5Encoder {
                    network: networks.get(weights, |w, n| T5::load(w, n).map(Rc::new))?,
                    usage: &USAGE,
                    tokenize: Rc::new(|text| vocabulary.tokens(text)),
                }))
            },
        }
    };
}

macro_rules! qwen {
    ($key:literal, $usage:expr) => {
        EncoderUse {
            key: $key,
            open: |networks, weights, _| {
                static USAGE: LanguageUse = LanguageUse { key: $key, ..$usage };
                let network = networks.get(weights, |w, n| Qwen::load(w, n).map(Rc::new))?;
                Ok(Rc::new(LanguageEncoder { network, usage: &USAGE }))
            },
        }
    };
}

const LAST: ClipUse = ClipUse { key: "", pad: END, layer: None, norms_hidden: true, projects: false };
const PENULTIMATE: ClipUse = ClipUse { layer: Some(-2), norms_hidden: false, ..LAST };

/// Stable Diffusion 1.x: CLIP-L.
pub static SD1: TextRecipe = TextRecipe { encoders: &[clip!("clip_l", LAST)], joined: only, optional: false };

/// Stable Diffusion 2.x: OpenCLIP-H.
pub static SD2: TextRecipe = TextRecipe {
    encoders: &[clip!("clip_h", ClipUse { pad: 0, norms_hidden: true, projects: true, ..PENULTIMATE })],
    joined: only,
    optional: false,
};

/// SDXL: CLIP-L and OpenCLIP-bigG.
pub static SDXL: TextRecipe = TextRecipe {
    encoders: &[clip!("clip_l", PENULTIMATE), clip!("clip_g", ClipUse { pad: 0, projects: true, ..PENULTIMATE })],
    joined: |all| along_channels(all.into_iter().flatten().collect()),
    optional: false,
};

/// SDXL's refiner: OpenCLIP-bigG.
pub static SDXL_REFINER: TextRecipe = TextRecipe {
    encoders: &[clip!("clip_g", ClipUse { pad: 0, projects: true, ..PENULTIMATE })],
    joined: only,
    optional: false,
};

/// Flux: T5's states, CLIP-L's pooled vector.
pub static FLUX: TextRecipe = TextRecipe {
    encoders: &[clip!("clip_l", LAST), t5!("t5xxl", plain_t5("t5xxl", 256))],
    joined: |all| match <[Option<Encoded>; 2]>::try_from(all) {
        Ok([Some(clip), Some(t5)]) => Ok(Encoded { cond: t5.cond, pooled: clip.pooled, mask: None }),
        _ => bail!("a prompt was encoded by too few encoders; this is a bug"),
    },
    optional: false,
};

/// Stable Diffusion 3: CLIP-L and OpenCLIP-bigG side by side, filled up to T5's width, then T5; any of them may be missing.
pub static SD3: TextRecipe = TextRecipe {
    encoders: &[
        clip!("clip_l", PENULTIMATE),
        clip!("clip_g", ClipUse { pad: 0, projects: true, ..PENULTIMATE }),
        t5!("t5xxl", plain_t5("t5xxl", 77)),
    ],
    joined: |all| match <[Option<Encoded>; 3]>::try_from(all) {
        Ok([l, g, t5]) => Ok(sd3_joined(l, g, t5)),
        Err(_) => bail!("a prompt was encoded by too few encoders; this is a bug"),
    },
    optional: true,
};

/// Chroma: T5 as PixArt has it, without anything that fills a text up.
pub static CHROMA: TextRecipe = TextRecipe {
    encoders: &[t5!("t5xxl", T5Use { empty_ends: false, ..plain_t5("t5xxl", 1) })],
    joined: only,
    optional: false,
};

/// LTX-Video: T5, whose network is told which tokens fill a text up.
pub static LTXV: TextRecipe = TextRecipe {
    encoders: &[t5!("t5xxl", T5Use { filling: Filling::Told, ..plain_t5("t5xxl", 128) })],
    joined: only,
    optional: false,
};

/// HunyuanVideo: the states of Llama 3 two layers before its last, CLIP-L's pooled vector.
pub static HUNYUAN_VIDEO: TextRecipe = TextRecipe {
    encoders: &[
        clip!("clip_l", LAST),
        EncoderUse {
            key: "llama",
            open: |networks, weights, folders| {
                let vocabulary = networks.of_file(&llama::vocabulary_file(folders)?, vocabularies::llama3)?;
                let network = networks.get(weights, |w, n| Qwen::load(w, n).map(Rc::new))?;
                let width = weights.dim("model.embed_tokens.weight", 1)?;
                Ok(Rc::new(LlamaEncoder { network, vocabulary, width }))
            },
        },
    ],
    joined: |all| match <[Option<Encoded>; 2]>::try_from(all) {
        Ok([Some(clip), Some(llama)]) => Ok(Encoded { pooled: clip.pooled, ..llama }),
        _ => bail!("a prompt was encoded by too few encoders; this is a bug"),
    },
    optional: false,
};

/// Z-Image: Qwen 3 4B, the layer before the last.
pub static Z_IMAGE: TextRecipe =
    TextRecipe { encoders: &[qwen!("qwen3_4b", qwen_templates::Z_IMAGE)], joined: only, optional: false };

/// Qwen-Image: Qwen 2.5-VL 7B, its last layer without what the template says first.
pub static QWEN_IMAGE: TextRecipe =
    TextRecipe { encoders: &[qwen!("qwen25_7b", qwen_templates::QWEN_IMAGE)], joined: only, optional: false };

/// Wan: UMT5-XXL, whose files hold its vocabulary.
pub static WAN: TextRecipe = TextRecipe {
    encoders: &[EncoderUse {
        key: "umt5xxl",
        open: |networks, weights, _| {
            static USAGE: T5Use = T5Use { key: "umt5xxl", least: 512, filling: Filling::Zeros, empty_ends: true };
            let vocabulary = networks.get(weights, |w, _| SentencePieces::load(w).map(Rc::new))?;
            Ok(Rc::new(T5Encoder {
                network: networks.get(weights, |w, n| T5::load(w, n).map(Rc::new))?,
                usage: &USAGE,
                tokenize: Rc::new(move |text| vocabulary.tokens(text)),
            }))
        },
    }],
    joined: only,
    optional: false,
};

impl EncoderKind {
    /// What a file, `weights`, that is an encoder of this kind alone is good for.
    pub fn alone(self, weights: &Weights) -> TextPart {
        let recipe = match self {
            EncoderKind::Clip(ClipKind::L) => &SD1,
            EncoderKind::Clip(ClipKind::H) => &SD2,
            EncoderKind::Clip(ClipKind::G) => &SDXL_REFINER,
            EncoderKind::T5Xxl => &FLUX,
            EncoderKind::Umt5Xxl => &WAN,
            EncoderKind::Qwen3 => &Z_IMAGE,
            EncoderKind::Qwen25Vl => &QWEN_IMAGE,
            EncoderKind::Llama3 => &HUNYUAN_VIDEO,
        };
        let its = |usage: &EncoderUse| (usage.key == self.key()).then(|| weights.clone());
        TextPart { recipe, encoders: recipe.encoders.iter().map(its).collect() }
    }

    /// Whether all is there that it needs beside its weights.
    ///
    /// # Errors
    /// Something is not, which says where it belongs.
    pub fn is_complete(self, folders: &FolderPaths) -> Result<()> {
        match self {
            EncoderKind::Llama3 => llama::vocabulary_file(folders).map(drop),
            _ => Ok(()),
        }
    }
}

/// Of one encoder.
fn only(mut all: Vec<Option<Encoded>>) -> Result<Encoded> {
    match (all.pop(), all.is_empty()) {
        (Some(Some(only)), true) => Ok(only),
        _ => bail!("a prompt was encoded more than once; this is a bug"),
    }
}

/// Widths of CLIP-L, of OpenCLIP-bigG and of T5-XXL, which zeros have where these are missing.
const WIDTHS: [i64; 3] = [768, 1280, 4096];

fn sd3_joined(l: Option<Encoded>, g: Option<Encoded>, t5: Option<Encoded>) -> Encoded {
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    let pooled = |of: &Option<Encoded>, width: i64| {
        let pooled = of.as_ref().and_then(|encoded| encoded.pooled.as_ref());
        pooled.map_or_else(|| zeros(&[1, width]), Tensor::shallow_clone)
    };
    let [wide_l, wide_g, wide_t5] = WIDTHS;
    let pooled = Tensor::cat(&[pooled(&l, wide_l), pooled(&g, wide_g)], -1);
    let clips = match (l, g) {
        (Some(l), Some(g)) => {
            let tokens = l.cond.size()[1].min(g.cond.size()[1]);
            Some(Tensor::cat(&[l.cond.narrow(1, 0, tokens), g.cond.narrow(1, 0, tokens)], -1))
        }
        (Some(l), None) => Some(l.cond),
        (None, Some(g)) => Some(g.cond.constant_pad_nd([wide_l, 0])),
        (None, None) => None,
    };
    let width = t5.as_ref().map_or(wide_t5, |t5| t5.cond.size()[2]);
    let clips = clips.map(|clips| {
        let missing = width - clips.size()[2];
        clips.constant_pad_nd([0, missing])
    });
    let parts: Vec<Tensor> = clips.into_iter().chain(t5.map(|t5| t5.cond)).collect();
    let cond = if parts.is_empty() { zeros(&[1, 77, wide_t5]) } else { Tensor::cat(&parts, 1) };
    Encoded { cond, pooled: Some(pooled), mask: None }
}

/// Side by side along the channels; the longer text is cut to the shorter. The last encoder's pooled vector counts.
fn along_channels(all: Vec<Encoded>) -> Result<Encoded> {
    let tokens = all.iter().map(|encoded| encoded.cond.size()[1]).min().unwrap_or(0);
    let cut: Vec<Tensor> = all.iter().map(|encoded| encoded.cond.narrow(1, 0, tokens)).collect();
    Ok(Encoded {
        cond: Tensor::cat(&cut, -1),
        pooled: all.into_iter().next_back().and_then(|last| last.pooled),
        mask: None,
    })
}
