use std::time::{SystemTime, UNIX_EPOCH};

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::save_image::save;
use crate::pictures::write::Compression;
use crate::values::Image;

/// Saves pictures as PNG files in the temp folder, as a preview.
#[derive(Node)]
#[node(category = "image", display = "Preview Image", output, hidden("prompt", "extra_pnginfo"))]
struct PreviewImage {
    /// The pictures.
    images: Image,
}

impl Run for PreviewImage {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        preview(cx, &self.images)
    }
}

/// Saves a batch in the temp folder and announces each file. In one process the files of a node have the same prefix in
/// each run.
pub(in crate::node) fn preview(cx: &mut Cx, images: &Image) -> anyhow::Result<()> {
    let folder = cx.folders.temp.clone();
    let letters = cx.kept(|| letters(cx.node.as_str()));
    save(cx, images, &format!("ComfyUI_temp_{letters}"), &folder, ("temp", "images"), Compression::Preview)
}

/// Saves pictures in the temp folder as [`preview`] does, under a prefix of their own, and shows them under a name such as `a_images`.
/// Nothing is saved of a batch without pictures.
///
/// # Errors
/// If they are no pictures, or the folder cannot be written to.
pub fn save_previews(cx: &mut Cx, images: &Image, prefix: &str, shown_as: &str) -> anyhow::Result<()> {
    if images.0.size().first() == Some(&0) {
        return Ok(());
    }
    let folder = cx.folders.temp.clone();
    let letters = cx.kept(|| letters(cx.node.as_str()));
    save(cx, images, &format!("{prefix}_temp_{letters}"), &folder, ("temp", shown_as), Compression::Preview)
}

/// Five letters that differ between processes and between nodes, so that previews do not mix. ComfyUI's previews have
/// such letters, too.
pub(in crate::node) fn letters(node: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let seed = blake3::hash(format!("{now} {} {node}", std::process::id()).as_bytes());
    seed.as_bytes()[..5].iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}
