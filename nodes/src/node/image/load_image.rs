use anyhow::Context;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use crate::pictures::read;
use crate::values::{Image, Mask};

/// Reads a picture from the input folder. Its transparency becomes the mask; an animation becomes a batch.
///
/// `NAME [output]` and `NAME [temp]` are read from the output and the temp folder.
#[derive(Node)]
#[node(category = "image", display = "Load Image")]
struct LoadImage {
    /// The picture's file.
    #[input(files = "input", upload = Image)]
    image: String,
}

impl Run for LoadImage {
    type Out = (Image, Mask);

    fn run(self, cx: &mut Cx) -> anyhow::Result<(Image, Mask)> {
        load(cx, &self.image)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("image", "input"), read::look)
    }
}

/// Reads a picture as [`LoadImage`] does. In the editor it lists the pictures of the output folder, as `NAME [output]`.
#[derive(Node)]
#[node(category = "image", display = "Load Image (from Outputs)", experimental)]
struct LoadImageOutput {
    /// The picture's file.
    #[input(files = "input", upload = Image)]
    image: String,
}

impl Run for LoadImageOutput {
    type Out = (Image, Mask);

    fn run(self, cx: &mut Cx) -> anyhow::Result<(Image, Mask)> {
        load(cx, &self.image)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("image", "input"), read::look)
    }
}

/// Says that a file ended before its picture did.
pub(crate) fn warn_if_cut(cx: &mut Cx, name: &str, cut: bool) {
    if cut {
        cx.warn(format!(
            "the picture '{name}' is truncated, and what is missing of it is grey or black; fetch it again"
        ));
    }
}

pub(super) fn load(cx: &mut Cx, name: &str) -> anyhow::Result<(Image, Mask)> {
    let gone = || format!("the picture '{name}' is not there any more; put it back");
    let picture = read::read(&cx.folders.find("input", name).with_context(gone)?)?;
    warn_if_cut(cx, name, picture.cut);
    Ok((Image(picture.image), Mask(picture.mask)))
}
