use anyhow::Context;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::pictures::read;
use crate::values::{Image, Mask};

/// Reads a picture from the input folder. Its transparency becomes the mask; an animation becomes a batch.
///
/// `NAME [output]` and `NAME [temp]` read from those folders.
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
        let gone = || format!("the picture '{}' is not there any more; put it back", self.image);
        let picture = read::read(&cx.folders.find("input", &self.image).with_context(gone)?)?;
        Ok((Image(picture.image), Mask(picture.mask)))
    }
}
