//! Text encoders from files of their own.

use std::path::Path;

use anyhow::{Context, bail};
use redraft_engine::cx::Cx;
use redraft_engine::error::Unsupported;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Combo, Node};

use crate::files::weights::Weights;
use crate::models::clip_text::ClipKind;
use crate::models::families::{TextPart, recognise};
use crate::models::text_recipes;
use crate::recipes::Clip;

/// Opens a text encoder that lies in a file of its own: CLIP-L (Stable Diffusion 1.x), OpenCLIP-H (2.x), or OpenCLIP-bigG alone
/// (SDXL's refiner).
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
            (ClipKind::L | ClipKind::G, ClipType::Sd3 | ClipType::HiDream) | (ClipKind::G, ClipType::StableCascade) => {
                return Err(unsupported::<ClipType>(self.r#type as usize));
            }
            (ClipKind::L, _) => &text_recipes::SD1,
            (ClipKind::H, _) => &text_recipes::SD2,
            (ClipKind::G, _) => &text_recipes::SDXL_REFINER,
        };
        Ok(Clip::new(Some(TextPart { recipe, encoders: vec![Some(weights)] })))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders, "clip_name")
    }
}

/// Opens the two text encoders of a model, in either order: CLIP-L and OpenCLIP-bigG for SDXL.
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
        if self.r#type != DualClipType::Sdxl {
            return Err(unsupported::<DualClipType>(self.r#type as usize));
        }
        let (first, second) = (open(cx, &self.clip_name1)?, open(cx, &self.clip_name2)?);
        let encoders = match [first, second] {
            [(ClipKind::G, g), (ClipKind::L, l)] | [(ClipKind::L, l), (ClipKind::G, g)] => vec![Some(l), Some(g)],
            [(first, _), (second, _)] => bail!(
                "'{}' is a {first} and '{}' a {second}, and SDXL has a CLIP-L and an OpenCLIP-bigG; choose one of each",
                self.clip_name1,
                self.clip_name2
            ),
        };
        Ok(Clip::new(Some(TextPart { recipe: &text_recipes::SDXL, encoders })))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        ["clip_name1", "clip_name2"].into_iter().flat_map(|input| flaws(offer, folders, input)).collect()
    }
}

/// A text encoder's file, and which of CLIP's it is.
fn open(cx: &Cx, name: &str) -> anyhow::Result<(ClipKind, Weights)> {
    opened(&super::file(cx, "text_encoders", name)?)
}

/// What is wrong with a text encoder's file.
fn flaws(offer: &Offer, folders: &FolderPaths, input: &str) -> Vec<Flaw> {
    Flaw::of_file(offer, folders, (input, "text_encoders"), |path| opened(path).map(drop))
}

fn opened(path: &Path) -> anyhow::Result<(ClipKind, Weights)> {
    let weights = Weights::open(path)?;
    let encoder = recognise(&weights)?.text.and_then(|text| text.encoders.into_iter().flatten().next());
    let known = encoder.and_then(|encoder| Some((ClipKind::of(&encoder)?, encoder)));
    known.with_context(|| format!("{} holds no text encoder; choose another file", weights.path().display()))
}

/// The error for a type that is not there yet, by its place among the choices.
fn unsupported<T: redraft_engine::io::Combo>(choice: usize) -> anyhow::Error {
    let kind = T::names()[choice];
    Unsupported(format!("type is {kind}, whose models are not supported yet; choose another")).into()
}
