mod checkpoint_loader_simple;
mod clip_loader;
mod clip_vision_loader;
mod control_net_loader;
mod diffusers_loader;
mod gligen_loader;
mod hypernetwork_loader;
mod image_only_checkpoint_loader;
mod lora_loader;
mod unclip_checkpoint_loader;
mod unet_loader;
mod upscale_model_loader;
mod vae_loader;

use std::path::PathBuf;

use anyhow::Context;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer};

use crate::files::weights::Weights;
use crate::models::encoder_kind::EncoderKind;
use crate::models::families::{Contents, recognise};

/// The path of a model file. It was there when the workflow was checked.
fn file(cx: &Cx, folder: &str, name: &str) -> anyhow::Result<PathBuf> {
    let gone = || format!("'{name}' is in no folder for {folder} any more; put it back");
    cx.folders.find(folder, name).with_context(gone)
}

/// What the checkpoint of that name holds.
fn checkpoint(cx: &Cx, name: &str) -> anyhow::Result<Contents> {
    recognise(&Weights::open(file(cx, "checkpoints", name)?)?)
}

/// What is wrong with the checkpoint that the input `ckpt_name` names: it holds no model, its text encoders lack a file of the user's, or
/// what `look` finds.
fn checkpoint_flaws(
    offer: &Offer,
    folders: &FolderPaths,
    look: impl FnOnce(&Contents) -> anyhow::Result<()>,
) -> Vec<Flaw> {
    Flaw::of_file(offer, folders, ("ckpt_name", "checkpoints"), |path| {
        let contents = recognise(&Weights::open(path)?)?;
        contents.model()?;
        look(&contents)?;
        let encoders = contents.text.iter().flat_map(|text| text.encoders.iter().flatten());
        encoders.filter_map(EncoderKind::of).try_for_each(|kind| kind.is_complete(folders))
    })
}
