//! How prompts become conditionings: which text encoders a family has, how each is used, and how their outputs are joined.

use std::rc::Rc;

use anyhow::{Result, bail};
use redraft_engine::folders::FolderPaths;
use tch::{Device, Kind, Tensor};

use super::clip_text::ClipText;
use super::llama_templates;
use super::qwen::Qwen;
use super::qwen_templates;
use super::t5::T5;
use super::token_table;
use crate::files::weights::Weights;
use crate::networks::Networks;
use crate::ops::numerics::Numerics;
use crate::text::encode::{ClipEncoder, ClipUse, Encoded, TextEncoder};
use crate::text::language::{LanguageEncoder, LanguageUse};
use crate::text::llama::{LlamaEncoder, LlamaUse};
use crate::text::sentence_pieces::SentencePieces;
use crate::text::t5::{Filling, T5Encoder, T5Use};
use crate::text::users_vocabulary;
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
    T5Use { key, least, most: None, end: 1, pad: 0, filling: Filling::Seen, empty_ends: true }
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

macro_rules! llama {
    ($usage:expr) => {
        EncoderUse {
            key: "llama",
            open: |networks, weights, folders| {
                static USAGE: LlamaUse = $usage;
                let vocabulary = networks.of_file(&users_vocabulary::LLAMA3.find(folders)?, vocabularies::llama3)?;
                let network = networks.get(weights, |w, n| Qwen::load(w, n).map(Rc::new))?;
                let width = weights.dim("model.embed_tokens.weight", 1)?;
                Ok(Rc::new(LlamaEncoder { network, usage: &USAGE, vocabulary, width }))
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
        Ok([Some(clip), Some(t5)]) => Ok(Encoded { pooled: clip.pooled, ..Encoded::of(t5.cond) }),
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
    encoders: &[clip!("clip_l", LAST), llama!(llama_templates::HUNYUAN_VIDEO)],
    joined: |all| match <[Option<Encoded>; 2]>::try_from(all) {
        Ok([Some(clip), Some(llama)]) => Ok(Encoded { pooled: clip.pooled, ..llama }),
        _ => bail!("a prompt was encoded by too few encoders; this is a bug"),
    },
    optional: false,
};

/// HiDream: T5's states, the pooled vectors of CLIP-L and OpenCLIP-bigG, and the states behind each of Llama 3's layers; any of them may be
/// missing.
pub static HIDREAM: TextRecipe = TextRecipe {
    encoders: &[
        clip!("clip_l", ClipUse { projects: true, ..LAST }),
        clip!("clip_g", ClipUse { pad: 0, projects: true, ..PENULTIMATE }),
        t5!("t5xxl", T5Use { most: Some(128), filling: Filling::Hidden, ..plain_t5("t5xxl", 128) }),
        llama!(llama_templates::HIDREAM),
    ],
    joined: |all| match <[Option<Encoded>; 4]>::try_from(all) {
        Ok([l, g, t5, llama]) => Ok(hidream_joined([l, g], t5, llama)),
        Err(_) => bail!("a prompt was encoded by too few encoders; this is a bug"),
    },
    optional: true,
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
            static USAGE: T5Use = T5Use { filling: Filling::Zeros, ..plain_t5("umt5xxl", 512) };
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

/// AuraFlow: Pile-T5-XL, whose vocabulary is the user's.
pub static AURA_FLOW: TextRecipe = TextRecipe {
    encoders: &[EncoderUse {
        key: "pile_t5xl",
        open: |networks, weights, folders| {
            static USAGE: T5Use = T5Use { end: 2, pad: 1, filling: Filling::Zeros, ..plain_t5("pile_t5xl", 256) };
            let vocabulary = networks.of_file(&users_vocabulary::PILE_T5.find(folders)?, vocabularies::pile_t5)?;
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

/// Of one encoder.
fn only(mut all: Vec<Option<Encoded>>) -> Result<Encoded> {
    match (all.pop(), all.is_empty()) {
        (Some(Some(only)), true) => Ok(only),
        _ => bail!("a prompt was encoded more than once; this is a bug"),
    }
}

/// Widths of CLIP-L, of OpenCLIP-bigG and of T5-XXL, which zeros have where these are missing.
const WIDTHS: [i64; 3] = [768, 1280, 4096];

fn zeros(shape: &[i64]) -> Tensor {
    Tensor::zeros(shape, (Kind::Float, Device::Cpu))
}

/// The pooled vectors of CLIP-L and OpenCLIP-bigG side by side.
fn both_pooled(l: Option<&Encoded>, g: Option<&Encoded>) -> Tensor {
    let pooled = |of: Option<&Encoded>, width: i64| {
        let pooled = of.and_then(|encoded| encoded.pooled.as_ref());
        pooled.map_or_else(|| zeros(&[1, width]), Tensor::shallow_clone)
    };
    let [wide_l, wide_g, _] = WIDTHS;
    Tensor::cat(&[pooled(l, wide_l), pooled(g, wide_g)], -1)
}

/// How many layers Llama 3 has, and how many tokens HiDream's text encoders make at least.
const LLAMA_LAYERS: i64 = 32;
const LEAST: i64 = 128;

fn hidream_joined([l, g]: [Option<Encoded>; 2], t5: Option<Encoded>, llama: Option<Encoded>) -> Encoded {
    let [_, _, wide_t5] = WIDTHS;
    let cond = t5.map_or_else(|| zeros(&[1, LEAST, wide_t5]), |t5| t5.cond);
    // As wide as T5's.
    let layers = llama.map_or_else(|| zeros(&[1, LLAMA_LAYERS, 1, wide_t5]), |llama| llama.cond);
    Encoded { pooled: Some(both_pooled(l.as_ref(), g.as_ref())), layers: Some(layers), ..Encoded::of(cond) }
}

fn sd3_joined(l: Option<Encoded>, g: Option<Encoded>, t5: Option<Encoded>) -> Encoded {
    let [wide_l, _, wide_t5] = WIDTHS;
    let pooled = both_pooled(l.as_ref(), g.as_ref());
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
    Encoded { pooled: Some(pooled), ..Encoded::of(cond) }
}

/// Side by side along the channels; the longer text is cut to the shorter. The last encoder's pooled vector counts.
fn along_channels(all: Vec<Encoded>) -> Result<Encoded> {
    let tokens = all.iter().map(|encoded| encoded.cond.size()[1]).min().unwrap_or(0);
    let cut: Vec<Tensor> = all.iter().map(|encoded| encoded.cond.narrow(1, 0, tokens)).collect();
    let pooled = all.into_iter().next_back().and_then(|last| last.pooled);
    Ok(Encoded { pooled, ..Encoded::of(Tensor::cat(&cut, -1)) })
}
