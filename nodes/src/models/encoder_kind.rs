//! Which text encoder a file holds.

use std::fmt;

use anyhow::Result;
use redraft_engine::folders::FolderPaths;

use super::clip_text::ClipKind;
use super::families::TextPart;
use super::qwen::Qwen;
use super::t5::T5;
use super::text_recipes::{self, EncoderUse};
use crate::files::weights::Weights;
use crate::text::users_vocabulary::{self, UsersVocabulary};

/// What a file with a text encoder alone holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderKind {
    Clip(ClipKind),
    T5Xxl,
    Umt5Xxl,
    PileT5Xl,
    Qwen3,
    Qwen25Vl,
    Llama3,
}

/// How many tokens Pile-T5's table has room for, by which it is told from UMT5, whose has eight times as many.
const PILE_TOKENS: i64 = 32_128;

impl EncoderKind {
    /// What the text encoder below `weights` is, if it is one that a recipe uses.
    pub fn of(weights: &Weights) -> Option<EncoderKind> {
        if T5::is_in(weights) {
            return Some(match T5::has_distances_everywhere(weights) {
                false => EncoderKind::T5Xxl,
                true if weights.dim("shared.weight", 0).is_ok_and(|tokens| tokens == PILE_TOKENS) => {
                    EncoderKind::PileT5Xl
                }
                true => EncoderKind::Umt5Xxl,
            });
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
            EncoderKind::PileT5Xl => "pile_t5xl",
            EncoderKind::Qwen3 => "qwen3_4b",
            EncoderKind::Qwen25Vl => "qwen25_7b",
            EncoderKind::Llama3 => "llama",
        }
    }

    /// What a file, `weights`, that is an encoder of this kind alone is good for.
    pub fn alone(self, weights: &Weights) -> TextPart {
        let recipe = match self {
            EncoderKind::Clip(ClipKind::L) => &text_recipes::SD1,
            EncoderKind::Clip(ClipKind::H) => &text_recipes::SD2,
            EncoderKind::Clip(ClipKind::G) => &text_recipes::SDXL_REFINER,
            EncoderKind::T5Xxl => &text_recipes::FLUX,
            EncoderKind::Umt5Xxl => &text_recipes::WAN,
            EncoderKind::PileT5Xl => &text_recipes::AURA_FLOW,
            EncoderKind::Qwen3 => &text_recipes::Z_IMAGE,
            EncoderKind::Qwen25Vl => &text_recipes::QWEN_IMAGE,
            EncoderKind::Llama3 => &text_recipes::HUNYUAN_VIDEO,
        };
        let its = |usage: &EncoderUse| (usage.key == self.key()).then(|| weights.clone());
        TextPart { recipe, encoders: recipe.encoders.iter().map(its).collect() }
    }

    /// Whether all is there that it needs beside its weights.
    ///
    /// # Errors
    /// Something is not, which says where it belongs.
    pub fn is_complete(self, folders: &FolderPaths) -> Result<()> {
        self.vocabulary().map_or(Ok(()), |vocabulary| vocabulary.find(folders).map(drop))
    }

    /// The vocabulary that it needs beside its weights, if any.
    fn vocabulary(self) -> Option<&'static UsersVocabulary> {
        match self {
            EncoderKind::Llama3 => Some(&users_vocabulary::LLAMA3),
            EncoderKind::PileT5Xl => Some(&users_vocabulary::PILE_T5),
            _ => None,
        }
    }
}

impl fmt::Display for EncoderKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            EncoderKind::Clip(kind) => kind.fmt(f),
            EncoderKind::T5Xxl => f.write_str("T5-XXL"),
            EncoderKind::Umt5Xxl => f.write_str("UMT5-XXL"),
            EncoderKind::PileT5Xl => f.write_str("Pile-T5-XL"),
            EncoderKind::Qwen3 => f.write_str("Qwen 3"),
            EncoderKind::Qwen25Vl => f.write_str("Qwen 2.5-VL"),
            EncoderKind::Llama3 => f.write_str("Llama 3"),
        }
    }
}
