use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_nodes::recipes::Clip;
use redraft_nodes::recipes::text_files::{ClipType, DualClipType, TextFile, pair, single, triple};

use super::{ENCODERS, file};

/// Opens a text encoder, in a GGUF file or another.
#[derive(Node)]
#[node(category = "bootleg", display = "CLIPLoader (GGUF)")]
struct CLIPLoaderGGUF {
    /// The text encoder's file.
    #[input(files = "clip_gguf")]
    clip_name: String,
    /// What kind of model it is for. Only some files leave a choice.
    r#type: ClipType,
}

impl Run for CLIPLoaderGGUF {
    type Out = Clip;

    fn run(self, cx: &mut Cx) -> Result<Clip> {
        single(self.r#type, open(cx, &self.clip_name)?)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders, &["clip_name"])
    }
}

/// Opens the two text encoders of a model, in either order, in GGUF files or others.
#[derive(Node)]
#[node(category = "bootleg", display = "DualCLIPLoader (GGUF)")]
struct DualCLIPLoaderGGUF {
    /// One text encoder's file.
    #[input(files = "clip_gguf")]
    clip_name1: String,
    /// The other's.
    #[input(files = "clip_gguf")]
    clip_name2: String,
    /// What kind of model they are for.
    r#type: DualClipType,
}

impl Run for DualCLIPLoaderGGUF {
    type Out = Clip;

    fn run(self, cx: &mut Cx) -> Result<Clip> {
        pair(self.r#type, [open(cx, &self.clip_name1)?, open(cx, &self.clip_name2)?])
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders, &["clip_name1", "clip_name2"])
    }
}

/// Opens the three text encoders of Stable Diffusion 3, in any order, in GGUF files or others.
#[derive(Node)]
#[node(category = "bootleg", display = "TripleCLIPLoader (GGUF)")]
struct TripleCLIPLoaderGGUF {
    /// One text encoder's file.
    #[input(files = "clip_gguf")]
    clip_name1: String,
    /// Another's.
    #[input(files = "clip_gguf")]
    clip_name2: String,
    /// The third's.
    #[input(files = "clip_gguf")]
    clip_name3: String,
}

impl Run for TripleCLIPLoaderGGUF {
    type Out = Clip;

    fn run(self, cx: &mut Cx) -> Result<Clip> {
        triple([open(cx, &self.clip_name1)?, open(cx, &self.clip_name2)?, open(cx, &self.clip_name3)?])
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders, &["clip_name1", "clip_name2", "clip_name3"])
    }
}

fn open(cx: &Cx, name: &str) -> Result<TextFile> {
    TextFile::open(name, &file(cx, ENCODERS, name)?)
}

fn flaws(offer: &Offer, folders: &FolderPaths, inputs: &[&str]) -> Vec<Flaw> {
    let of = |input: &&str| {
        Flaw::of_file(offer, folders, (input, ENCODERS), |path| TextFile::open(input, path)?.is_complete(folders))
    };
    inputs.iter().flat_map(of).collect()
}
