use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Node, Outputs};

use crate::files::weights::Weights;
use crate::models::encoder_kind::EncoderKind;
use crate::models::families::{Contents, TextPart, recognise};
use crate::models::text_recipes::SDXL;
use crate::recipes::{Clip, Model, VaeRecipe};

/// The names that a UNet's or a VAE's file may have, the first that is there counts.
const NETWORKS: [&str; 4] = [
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.fp16.bin",
    "diffusion_pytorch_model.bin",
];
/// The same for a text encoder's.
const ENCODERS: [&str; 4] =
    ["model.fp16.safetensors", "model.safetensors", "pytorch_model.fp16.bin", "pytorch_model.bin"];

/// Opens a model in the layout of diffusers: a folder with the UNet, the VAE and one or two text encoders in folders of their own.
#[derive(Node)]
#[node(category = "advanced/loaders/deprecated")]
struct DiffusersLoader {
    /// The model's folder, in which `model_index.json` lies.
    #[input(files = "diffusers")]
    model_path: String,
}

#[derive(Outputs)]
struct Parts {
    /// The model that denoises latents.
    model: Model,
    /// The text encoders for prompts.
    clip: Clip,
    /// The VAE between pixels and latents.
    vae: VaeRecipe,
}

impl Run for DiffusersLoader {
    type Out = Parts;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Parts> {
        let gone = || format!("'{}' is in no folder for diffusers any more; put it back", self.model_path);
        opened(&cx.folders.find("diffusers", &self.model_path).with_context(gone)?)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("model_path", "diffusers"), |path| opened(path).map(drop))
    }
}

fn opened(folder: &Path) -> anyhow::Result<Parts> {
    let unet = part(folder, "unet", &NETWORKS)?;
    let vae = part(folder, "vae", &NETWORKS)?;
    let model = Model::new(contents(&unet)?.model()?.clone());
    let vae_weights = contents(&vae)?.vae;
    ensure!(vae_weights.is_some(), "{} holds no VAE; fetch it again", vae.display());
    let mut encoders = vec![part(folder, "text_encoder", &ENCODERS)?];
    encoders.extend(first(&folder.join("text_encoder_2"), &ENCODERS));
    Ok(Parts { model, clip: Clip::new(Some(text(&encoders)?)), vae: VaeRecipe { weights: vae_weights } })
}

/// The text encoders: one alone, or CLIP-L and OpenCLIP-bigG.
fn text(files: &[PathBuf]) -> anyhow::Result<TextPart> {
    let mut opened = Vec::with_capacity(files.len());
    for file in files {
        let weights = Weights::open_any(file)?;
        let kind = EncoderKind::of(&weights)
            .with_context(|| format!("{} is no text encoder of a supported family; fetch it again", file.display()))?;
        opened.push((kind, weights));
    }
    if let [(kind, only)] = opened.as_slice() {
        return Ok(kind.alone(only));
    }
    let of = |key: &str| opened.iter().find(|(kind, _)| kind.key() == key).map(|(_, weights)| weights.clone());
    let encoders: Vec<_> = SDXL.encoders.iter().map(|usage| of(usage.key)).collect();
    if encoders.iter().any(Option::is_none) {
        let given: Vec<_> = opened.iter().map(|(kind, _)| kind.to_string()).collect();
        bail!(
            "the text encoders are {}, and SDXL's are CLIP-L and OpenCLIP-bigG: take a folder of SDXL",
            given.join(" and ")
        );
    }
    Ok(TextPart { recipe: &SDXL, encoders })
}

fn contents(file: &Path) -> anyhow::Result<Contents> {
    recognise(&Weights::open_any(file)?)
}

/// The file of a part of the model.
fn part(folder: &Path, part: &str, names: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = folder.join(part);
    let missing = || {
        format!(
            "{} holds none of {}: only models with a UNet in one file can be loaded like this",
            folder.display(),
            names.join(", ")
        )
    };
    first(&folder, names).with_context(missing)
}

fn first(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}
