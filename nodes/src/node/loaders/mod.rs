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

/// The path of a model file. It was there when the workflow was checked.
fn file(cx: &Cx, folder: &str, name: &str) -> anyhow::Result<PathBuf> {
    let gone = || format!("'{name}' is in no folder for {folder} any more; put it back");
    cx.folders.find(folder, name).with_context(gone)
}
