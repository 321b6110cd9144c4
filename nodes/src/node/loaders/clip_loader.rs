//! Text encoders from files of their own.

use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Combo, Node};

use crate::recipes::Clip;
use crate::recipes::text_files::{ClipType, DualClipType, TextFile, pair, quadruple, single, triple};

/// Opens a text encoder that lies in a file of its own: CLIP-L (Stable Diffusion 1.x), OpenCLIP-H (2.x), OpenCLIP-bigG alone (SDXL's
/// refiner), T5 (Chroma, LTX-Video, PixArt), Pile-T5 (AuraFlow), Qwen 3 (Z-Image), Qwen 2.5-VL (Qwen-Image),
/// UMT5 (Wan), or one of HiDream's.
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

#[derive(Combo)]
enum ClipDevice {
    Default,
    Cpu,
}

impl Run for CLIPLoader {
    type Out = Clip;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Clip> {
        single(self.r#type, open(cx, &self.clip_name)?)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders, "clip_name")
    }
}

/// Opens the two text encoders of a model, in either order: CLIP-L and OpenCLIP-bigG for SDXL, CLIP-L and T5-XXL for Flux, CLIP-L and
/// Llama 3 for HunyuanVideo, or two of HiDream's four.
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

impl Run for DualCLIPLoader {
    type Out = Clip;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Clip> {
        pair(self.r#type, [open(cx, &self.clip_name1)?, open(cx, &self.clip_name2)?])
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
        triple([open(cx, &self.clip_name1)?, open(cx, &self.clip_name2)?, open(cx, &self.clip_name3)?])
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        let inputs = ["clip_name1", "clip_name2", "clip_name3"];
        inputs.into_iter().flat_map(|input| flaws(offer, folders, input)).collect()
    }
}

/// Opens the four text encoders of HiDream, in any order: CLIP-L, OpenCLIP-bigG, T5-XXL and Llama 3.1.
#[derive(Node)]
#[node(category = "advanced/loaders")]
struct QuadrupleCLIPLoader {
    /// One text encoder's file.
    #[input(files = "text_encoders")]
    clip_name1: String,
    /// Another's.
    #[input(files = "text_encoders")]
    clip_name2: String,
    /// The third's.
    #[input(files = "text_encoders")]
    clip_name3: String,
    /// The fourth's.
    #[input(files = "text_encoders")]
    clip_name4: String,
}

impl Run for QuadrupleCLIPLoader {
    type Out = Clip;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Clip> {
        let open = |name: &str| open(cx, name);
        let [one, two] = [open(&self.clip_name1)?, open(&self.clip_name2)?];
        quadruple([one, two, open(&self.clip_name3)?, open(&self.clip_name4)?])
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        let inputs = ["clip_name1", "clip_name2", "clip_name3", "clip_name4"];
        inputs.into_iter().flat_map(|input| flaws(offer, folders, input)).collect()
    }
}

/// A text encoder's file, opened.
fn open(cx: &Cx, name: &str) -> anyhow::Result<TextFile> {
    TextFile::open(name, &super::file(cx, "text_encoders", name)?)
}

/// What is wrong with a text encoder's file.
fn flaws(offer: &Offer, folders: &FolderPaths, input: &str) -> Vec<Flaw> {
    Flaw::of_file(offer, folders, (input, "text_encoders"), |path| TextFile::open(input, path)?.is_complete(folders))
}
