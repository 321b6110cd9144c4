//! ComfyUI-GGUF.

mod clip_loaders;
mod unet_loaders;

use std::path::PathBuf;

use anyhow::Context;
use redraft_engine::cx::Cx;
use redraft_engine::folder_kinds::{FOLDER_KIND_TABLES, FolderKind};

/// The folder kind of networks in GGUF files.
const NETWORKS: &str = "unet_gguf";
/// The folder kind of text encoders, in GGUF files or others.
const ENCODERS: &str = "clip_gguf";

redraft_engine::add_rows!(FOLDER_KIND_TABLES: FolderKind = [
    FolderKind::like(NETWORKS, "diffusion_models", &["gguf"]),
    FolderKind::like(ENCODERS, "text_encoders", &["safetensors", "sft", "gguf"]),
]);

/// The path of a file. It was there when the workflow was checked.
fn file(cx: &Cx, folder: &str, name: &str) -> anyhow::Result<PathBuf> {
    let gone = || format!("'{name}' is in no folder for {folder} any more; put it back");
    cx.folders.find(folder, name).with_context(gone)
}
