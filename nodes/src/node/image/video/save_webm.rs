use anyhow::{Result, bail};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use super::super::save_image::metadata;
use super::save;
use crate::media::{Webm, write_webm};
use crate::values::Image;

/// Saves pictures as a WebM video in the output folder, with the workflow that made it.
#[derive(Node)]
#[node(category = "image/video", output, experimental, hidden("prompt", "extra_pnginfo"))]
struct SaveWEBM {
    /// The frames.
    images: Image,
    /// The prefix of the file's name. It may contain subfolders.
    #[input(default = "ComfyUI")]
    filename_prefix: String,
    codec: Codec,
    /// Frames per second.
    #[input(default = 24.0, min = 0.01, max = 1000.0, step = 0.01)]
    fps: f64,
    /// The constant rate factor: the higher, the smaller the file and the worse the picture.
    #[input(default = 32.0, min = 0.0, max = 63.0, step = 1.0)]
    crf: f64,
}

#[derive(Combo)]
enum Codec {
    Vp9,
    Av1,
}

impl Run for SaveWEBM {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        let [_, height, width, _] = self.images.0.size()[..] else {
            bail!("pictures of shape {:?} are no video: connect a batch of images", self.images.0.size());
        };
        let webm = Webm { av1: matches!(self.codec, Codec::Av1), fps: self.fps, crf: self.crf };
        save(cx, &self.filename_prefix, "webm", (width, height), |cx, aside| {
            write_webm(aside.path(), &self.images, &webm, &metadata(cx), cx)
        })
    }
}
