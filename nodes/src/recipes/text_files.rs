//! CLIP out of files of text encoders.

use std::path::Path;

use anyhow::{Context, Result, bail};
use redraft_engine::Combo;
use redraft_engine::error::Unsupported;
use redraft_engine::folders::FolderPaths;
use redraft_engine::io::Combo as _;

use crate::files::gguf;
use crate::files::weights::Weights;
use crate::models::clip_text::ClipKind;
use crate::models::encoder_kind::EncoderKind;
use crate::models::families::{TextPart, recognise};
use crate::models::text_recipes::{self, TextRecipe};
use crate::recipes::Clip;

/// What a single text encoder is for.
#[derive(Combo, Clone, Copy, PartialEq)]
pub enum ClipType {
    StableDiffusion,
    StableCascade,
    Sd3,
    StableAudio,
    Mochi,
    Ltxv,
    Pixart,
    Cosmos,
    Lumina2,
    Wan,
    #[combo(name = "hidream")]
    HiDream,
    Chroma,
    Ace,
    Omnigen2,
    QwenImage,
    HunyuanImage,
    Flux2,
    Ovis,
}

/// What two text encoders are for.
#[derive(Combo, Clone, Copy, PartialEq)]
pub enum DualClipType {
    Sdxl,
    Sd3,
    Flux,
    HunyuanVideo,
    #[combo(name = "hidream")]
    HiDream,
    HunyuanImage,
    #[combo(name = "hunyuan_video_15")]
    HunyuanVideo15,
    Kandinsky5,
    Kandinsky5Image,
    Ltxv,
    Newbie,
}

/// A file of a text encoder, opened.
pub struct TextFile {
    /// What messages call it.
    name: String,
    kind: EncoderKind,
    weights: Weights,
}

impl TextFile {
    /// Opens a file of its own, or the only one of a checkpoint; a GGUF file, too.
    ///
    /// # Errors
    /// If it cannot be read, or holds no text encoder.
    pub fn open(name: &str, path: &Path) -> Result<Self> {
        let weights = gguf::text_encoder(path)?;
        let name = name.to_owned();
        if let Some(kind) = EncoderKind::of(&weights) {
            return Ok(Self { name, kind, weights });
        }
        let encoder = recognise(&weights)?.text.and_then(|text| text.encoders.into_iter().flatten().next());
        let known = encoder.and_then(|encoder| Some((EncoderKind::of(&encoder)?, encoder)));
        let known = known.with_context(|| format!("{} holds no text encoder; choose another file", path.display()))?;
        Ok(Self { name, kind: known.0, weights: known.1 })
    }

    /// Whether all is there that it needs beside its weights.
    ///
    /// # Errors
    /// Something is not, which says where it belongs.
    pub fn is_complete(&self, folders: &FolderPaths) -> Result<()> {
        self.kind.is_complete(folders)
    }
}

/// A CLIP of one text encoder.
///
/// # Errors
/// If the encoder is not one of what it is to be for.
pub fn single(r#type: ClipType, file: TextFile) -> Result<Clip> {
    let TextFile { name, kind, .. } = &file;
    let recipe = match (*kind, r#type) {
        (EncoderKind::PileT5Xl, _) => &text_recipes::AURA_FLOW,
        (_, ClipType::Sd3) => return of_recipe("sd3", &text_recipes::SD3, vec![file]),
        (EncoderKind::T5Xxl, ClipType::Ltxv) => &text_recipes::LTXV,
        (EncoderKind::T5Xxl, ClipType::Chroma | ClipType::Pixart) => &text_recipes::CHROMA,
        (EncoderKind::Clip(ClipKind::L | ClipKind::G) | EncoderKind::T5Xxl, ClipType::HiDream)
        | (EncoderKind::Llama3, _) => return of_recipe("hidream", &text_recipes::HIDREAM, vec![file]),
        (EncoderKind::Clip(ClipKind::G), ClipType::StableCascade) | (EncoderKind::T5Xxl, _) => {
            return Err(unsupported::<ClipType>(r#type as usize));
        }
        (EncoderKind::Umt5Xxl, ClipType::Wan) => &text_recipes::WAN,
        (EncoderKind::Umt5Xxl, _) => {
            bail!("'{name}' is a {kind}, which models of Wan have; set type to wan")
        }
        (EncoderKind::Qwen25Vl, ClipType::HunyuanImage) => {
            return Err(unsupported::<ClipType>(r#type as usize));
        }
        (EncoderKind::Qwen3, _) => &text_recipes::Z_IMAGE,
        (EncoderKind::Qwen25Vl, _) => &text_recipes::QWEN_IMAGE,
        (EncoderKind::Clip(ClipKind::L), _) => &text_recipes::SD1,
        (EncoderKind::Clip(ClipKind::H), _) => &text_recipes::SD2,
        (EncoderKind::Clip(ClipKind::G), _) => &text_recipes::SDXL_REFINER,
    };
    Ok(Clip::new(Some(TextPart { recipe, encoders: vec![Some(file.weights)] })))
}

/// A CLIP of two text encoders, in either order.
///
/// # Errors
/// If they are not those of what they are to be for.
pub fn pair(r#type: DualClipType, files: [TextFile; 2]) -> Result<Clip> {
    let recipe = match r#type {
        DualClipType::Sdxl => &text_recipes::SDXL,
        DualClipType::Sd3 => &text_recipes::SD3,
        DualClipType::Flux => &text_recipes::FLUX,
        DualClipType::HunyuanVideo => &text_recipes::HUNYUAN_VIDEO,
        DualClipType::HiDream => &text_recipes::HIDREAM,
        _ => return Err(unsupported::<DualClipType>(r#type as usize)),
    };
    of_recipe(DualClipType::names()[r#type as usize], recipe, files.into())
}

/// A CLIP of the three text encoders of Stable Diffusion 3, in any order.
///
/// # Errors
/// If they are others.
pub fn triple(files: [TextFile; 3]) -> Result<Clip> {
    of_recipe("sd3", &text_recipes::SD3, files.into())
}

/// A CLIP of the four text encoders of HiDream, in any order.
///
/// # Errors
/// If they are others.
pub fn quadruple(files: [TextFile; 4]) -> Result<Clip> {
    of_recipe("hidream", &text_recipes::HIDREAM, files.into())
}

/// The encoders of a recipe from files of their own, in any order.
fn of_recipe(kind: &str, recipe: &'static TextRecipe, files: Vec<TextFile>) -> Result<Clip> {
    let find = |key: &str| files.iter().position(|file| file.kind.key() == key);
    let places: Vec<_> = recipe.encoders.iter().map(|usage| find(usage.key)).collect();
    let used = places.iter().flatten().count();
    if used < files.len() || (used < places.len() && !recipe.optional) {
        let given = files.iter().map(|TextFile { name, kind, .. }| format!("'{name}' is a {kind}")).collect::<Vec<_>>();
        let wanted: Vec<_> = recipe.encoders.iter().map(|usage| usage.key).collect();
        bail!("{}, and a model of type {kind} has {}; choose one of each", given.join(", "), wanted.join(", "));
    }
    let encoders = places.into_iter().map(|place| place.map(|place| files[place].weights.clone())).collect();
    Ok(Clip::new(Some(TextPart { recipe, encoders })))
}

/// The error for a type that is not there yet, by its place among the choices.
fn unsupported<T: redraft_engine::io::Combo>(choice: usize) -> anyhow::Error {
    let kind = T::names()[choice];
    Unsupported(format!("type is {kind}, whose models are not supported yet; choose another")).into()
}
