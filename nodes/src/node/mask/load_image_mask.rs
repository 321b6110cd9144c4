use anyhow::Context;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Combo, Node};

use crate::node::image::warn_if_cut;
use crate::pictures::read;
use crate::values::Mask;

/// Reads one channel of a picture from the input folder as a mask. Alpha is inverted: 1 is transparent.
#[derive(Node)]
#[node(category = "mask", display = "Load Image (as Mask)")]
struct LoadImageMask {
    /// The picture's file.
    #[input(files = "input", upload = Image)]
    image: String,
    channel: Channel,
}

#[derive(Combo)]
enum Channel {
    Alpha,
    Red,
    Green,
    Blue,
}

impl Run for LoadImageMask {
    type Out = Mask;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Mask> {
        let gone = || format!("the picture '{}' is not there any more; put it back", self.image);
        let path = cx.folders.find("input", &self.image).with_context(gone)?;
        let channel = match self.channel {
            Channel::Alpha => read::Channel::Alpha,
            Channel::Red => read::Channel::Red,
            Channel::Green => read::Channel::Green,
            Channel::Blue => read::Channel::Blue,
        };
        let (mask, cut) = read::read_mask(&path, channel)?;
        warn_if_cut(cx, &self.image, cut);
        Ok(Mask(mask))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("image", "input"), read::look)
    }
}
