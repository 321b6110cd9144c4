//! Text encoders from files of their own.

use std::path::Path;

use anyhow::{Context, bail};
use redraft_engine::cx::Cx;
use redraft_engine::error::Unsupported;
use redraft_engine::folders::FolderPaths;
use redraft_engine::io::Combo as _;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Combo, Node};

use crate::files::weights::Weights;
use crate::models::clip_text::ClipKind;
use crate::models::families::{TextPart, recognise};
use crate::models::text_recipes::{self, EncoderKind, TextRecipe};
use crate::recipes::Clip;

/// Opens a text encoder that lies in a file of its own: CLIP-L (Stable Diffusion 1.x), OpenCLIP-H (2.x), OpenCLIP-bigG alone (SDXL's
/// refiner), T5 (Chroma, LTX-Video, PixArt), Qwen 3 (Z-Image), Qwen 2.5-VL (Qwen-Image), or UMT5 (Wan).
#[derive(Node)]
#[node(category = "advanced/loaders", display = "Load CLIP")]
struct CLIPLoader {
    /// The text encoder's file.
    #[input(files = "text_encoders")]
    clip_name: String,
    /// What kind of model it is for. Only some files leave a choice.
    r#type: ClipType,
    /// Where it computes. It has no effect here: text encoders are where everything else is.
    #[expect(dead_code, reason = "all networks of a run share a device")]
    device: Option<ClipDevice>,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum ClipType {
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

#[derive(Combo)]
enum ClipDevice {
    Default,
    Cpu,
}

impl Run for CLIPLoader {
    type Out = Clip;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Clip> {
        let (kind, weights) = open(cx, &self.clip_name)?;
        let recipe = match (kind, self.r#type) {
            (_, ClipType::Sd3) => return of_recipe(cx, "sd3", &text_recipes::SD3, &[&self.clip_name]),
            (EncoderKind::T5Xxl, ClipType::Ltxv) => &text_recipes::LTXV,
            (EncoderKind::T5Xxl, ClipType::Chroma | ClipType::Pixart) => &text_recipes::CHROMA,
            (EncoderKind::Clip(ClipKind::L | ClipKind::G), ClipType::HiDream)
            | (EncoderKind::Clip(ClipKind::G), ClipType::StableCascade)
            | (EncoderKind::T5Xxl, _) => return Err(unsupported::<ClipType>(self.r#type as usize)),
            (EncoderKind::Umt5Xxl, ClipType::Wan) => &text_recipes::WAN,
            (EncoderKind::Umt5Xxl, _) => {
                bail!("'{}' is a {kind}, which models of Wan have; set type to wan", self.clip_name)
            }
            (EncoderKind::Llama3, ClipType::HiDream) => return Err(unsupported::<ClipType>(self.r#type as usize)),
            (EncoderKind::Llama3, _) => {
                bail!(
                    "'{}' is a {kind}, which HunyuanVideo has beside CLIP-L; load both with DualCLIPLoader",
                    self.clip_name
                )
            }
            (EncoderKind::Qwen25Vl, ClipType::HunyuanImage) => {
                return Err(unsupported::<ClipType>(self.r#type as usize));
            }
            (EncoderKind::Qwen3, _) => &text_recipes::Z_IMAGE,
            (EncoderKind::Qwen25Vl, _) => &text_recipes::QWEN_IMAGE,
            (EncoderKind::Clip(ClipKind::L), _) => &text_recipes::SD1,
            (EncoderKind::Clip(ClipKind::H), _) => &text_recipes::SD2,
            (EncoderKind::Clip(ClipKind::G), _) => &text_recipes::SDXL_REFINER,
        };
        Ok(Clip::new(Some(TextPart { recipe, encoders: vec![Some(weights)] })))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders, "clip_name")
    }
}

/// Opens the two text encoders of a model, in either order: CLIP-L and OpenCLIP-bigG for SDXL, CLIP-L and T5-XXL for Flux, CLIP-L and
/// Llama 3 for HunyuanVideo.
#[derive(Node)]
#[node(category = "advanced/loaders")]
struct DualCLIPLoader {
    /// One text encoder's file.
    #[input(files = "text_encoders")]
    clip_name1: String,
    /// The other's.
    #[input(files = "text_encoders")]
    clip_name2: String,
    /// What kind of model they are for.
    r#type: DualClipType,
    /// Where they compute. It has no effect here: text encoders are where everything else is.
    #[expect(dead_code, reason = "all networks of a run share a device")]
    device: Option<ClipDevice>,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum DualClipType {
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

impl Run for DualCLIPLoader {
    type Out = Clip;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Clip> {
        let recipe = match self.r#type {
            DualClipType::Sdxl => &text_recipes::SDXL,
            DualClipType::Sd3 => &text_recipes::SD3,
            DualClipType::Flux => &text_recipes::FLUX,
            DualClipType::HunyuanVideo => &text_recipes::HUNYUAN_VIDEO,
            _ => return Err(unsupported::<DualClipType>(self.r#type as usize)),
        };
        let kind = DualClipType::names()[self.r#type as usize];
        of_recipe(cx, kind, recipe, &[&self.clip_name1, &self.clip_name2])
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        ["clip_name1", "clip_name2"].into_iter().flat_map(|input| flaws(offer, folders, input)).collect()
    }
}

/// Opens the three text encoders of Stable Diffusion 3, in any order: CLIP-L, OpenCLIP-bigG and T5-XXL.
#[derive(Node)]
#[node(category = "advanced/loaders")]
struct TripleCLIPLoader {
    /// One text encoder's file.
    #[input(files = "text_encoders")]
    clip_name1: String,
    /// Another's.
    #[input(files = "text_encoders")]
    clip_name2: String,
    /// The third's.
    #[input(files = "text_encoders")]
    clip_name3: String,
}

impl Run for TripleCLIPLoader {
    type Out = Clip;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Clip> {
        of_recipe(cx, "sd3", &text_recipes::SD3, &[&self.clip_name1, &self.clip_name2, &self.clip_name3])
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        let inputs = ["clip_name1", "clip_name2", "clip_name3"];
        inputs.into_iter().flat_map(|input| flaws(offer, folders, input)).collect()
    }
}

/// The encoders of a recipe from files of their own, in any order.
fn of_recipe(cx: &Cx, kind: &str, recipe: &'static TextRecipe, names: &[&str]) -> anyhow::Result<Clip> {
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        files.push((*name, open(cx, name)?));
    }
    let find = |key: &str| files.iter().position(|(_, (kind, _))| kind.key() == key);
    let places: Vec<_> = recipe.encoders.iter().map(|usage| find(usage.key)).collect();
    let used = places.iter().flatten().count();
    if used < names.len() || (used < places.len() && !recipe.optional) {
        let given = files.iter().map(|(name, (kind, _))| format!("'{name}' is a {kind}")).collect::<Vec<_>>();
        let wanted: Vec<_> = recipe.encoders.iter().map(|usage| usage.key).collect();
        bail!("{}, and a model of type {kind} has {}; choose one of each", given.join(", "), wanted.join(", "));
    }
    let encoders = places.into_iter().map(|place| place.map(|place| files[place].1.1.clone())).collect();
    Ok(Clip::new(Some(TextPart { recipe, encoders })))
}

/// A text encoder's file, and what it is.
fn open(cx: &Cx, name: &str) -> anyhow::Result<(EncoderKind, Weights)> {
    opened(&super::file(cx, "text_encoders", name)?)
}

/// What is wrong with a text encoder's file.
fn flaws(offer: &Offer, folders: &FolderPaths, input: &str) -> Vec<Flaw> {
    Flaw::of_file(offer, folders, (input, "text_encoders"), |path| opened(path)?.0.is_complete(folders))
}

fn opened(path: &Path) -> anyhow::Result<(EncoderKind, Weights)> {
    let weights = Weights::open(path)?;
    if let Some(kind) = EncoderKind::of(&weights) {
        return Ok((kind, weights));
    }
    let encoder = recognise(&weights)?.text.and_then(|text| text.encoders.into_iter().flatten().next());
    let known = encoder.and_then(|encoder| Some((EncoderKind::of(&encoder)?, encoder)));
    known.with_context(|| format!("{} holds no text encoder; choose another file", weights.path().display()))
}

/// The error for a type that is not there yet, by its place among the choices.
fn unsupported<T: redraft_engine::io::Combo>(choice: usize) -> anyhow::Error {
    let kind = T::names()[choice];
    Unsupported(format!("type is {kind}, whose models are not supported yet; choose another")).into()
}
