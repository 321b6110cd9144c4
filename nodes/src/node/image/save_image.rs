use std::path::Path;

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::event::SavedFile;
use redraft_engine::node::Run;
use serde_json::Value as Json;

use crate::pictures::names::{SaveLocation, save_location};
use crate::pictures::write::{Compression, Saved, save_batch};
use crate::values::Image;

/// Saves pictures as PNG files in the output folder, each with the workflow that made it.
#[derive(Node)]
#[node(category = "image", display = "Save Image", output, hidden("prompt", "extra_pnginfo"))]
struct SaveImage {
    /// The pictures.
    images: Image,
    /// The prefix of the files' names. It may contain subfolders, and variables such as `%date:yyyy-MM-dd%`,
    /// `%NODE.INPUT%`, `%width%` and `%batch_num%`.
    #[input(default = "ComfyUI")]
    filename_prefix: String,
}

impl Run for SaveImage {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        let folder = cx.folders.output.clone();
        save(cx, &self.images, &self.filename_prefix, &folder, ("output", "images"), Compression::Saved)
    }
}

/// Saves a batch in or below `folder`, and announces each file: as what kind of file, and under which name it is shown.
pub(super) fn save(
    cx: &mut Cx,
    images: &Image,
    prefix: &str,
    folder: &Path,
    (kind, what): (&str, &str),
    compression: Compression,
) -> anyhow::Result<()> {
    let location = location(images, prefix, folder)?;
    for saved in save_batch(&location, &images.0, &metadata(cx), compression)? {
        announce(cx, what, &location, saved, kind)?;
    }
    Ok(())
}

/// Where pictures with this prefix are saved.
pub(super) fn location(images: &Image, prefix: &str, folder: &Path) -> anyhow::Result<SaveLocation> {
    let size = images.0.size();
    let side = |dim: usize| size.get(dim).and_then(|side| usize::try_from(*side).ok()).unwrap_or(0);
    save_location(prefix, folder, side(2), side(1), chrono::Local::now().naive_local())
}

/// Announces a file that was written, and shows it under ComfyUI's name for what it is, such as `images`.
pub(in crate::node) fn announce(
    cx: &mut Cx,
    what: &str,
    location: &SaveLocation,
    saved: Saved,
    kind: &str,
) -> anyhow::Result<()> {
    cx.saved(std::path::absolute(saved.path)?);
    let (filename, subfolder) = (saved.file_name, location.subfolder.clone());
    cx.ui(what, serde_json::to_value(SavedFile { filename, subfolder, kind: kind.to_owned() })?);
    Ok(())
}

/// The metadata that is written into files: `prompt`, then the keys of `extra_pnginfo`.
pub(in crate::node) fn metadata(cx: &Cx) -> Vec<(String, Json)> {
    if cx.metadata.disabled {
        return Vec::new();
    }
    let prompt = ("prompt".to_owned(), cx.metadata.prompt.clone());
    std::iter::once(prompt).chain(cx.metadata.extra.iter().cloned()).collect()
}
