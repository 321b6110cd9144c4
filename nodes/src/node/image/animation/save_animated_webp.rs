use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use super::super::save_image::metadata;
use super::{milliseconds, save};
use crate::pictures::animation::{self, WebpSettings};
use crate::values::Image;

/// Saves a batch as an animated WebP file in the output folder, with the workflow that made it.
#[derive(Node)]
#[node(category = "image/animation", output, hidden("prompt", "extra_pnginfo"))]
struct SaveAnimatedWEBP {
    /// The frames.
    images: Image,
    /// How the file's name begins.
    #[input(default = "ComfyUI")]
    filename_prefix: String,
    /// Frames per second.
    #[input(default = 6.0, min = 0.01, max = 1000.0, step = 0.01)]
    fps: f64,
    /// Whether every pixel is kept as it is.
    #[input(default = true)]
    lossless: bool,
    /// The quality of the picture. In lossless files, the effort of compression.
    #[input(default = 80, min = 0, max = 100)]
    quality: i64,
    /// The effort of compression: the slower, the smaller the file.
    method: Effort,
}

#[derive(Combo)]
enum Effort {
    Default,
    Fastest,
    Slowest,
}

impl Run for SaveAnimatedWEBP {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        let method = match self.method {
            Effort::Default => 4,
            Effort::Fastest => 0,
            Effort::Slowest => 6,
        };
        let settings = WebpSettings { lossless: self.lossless, quality: u8::try_from(self.quality)?, method };
        let bytes = animation::webp(&self.images.0, milliseconds(self.fps), settings, &metadata(cx))?;
        save(cx, &self.images, &self.filename_prefix, "webp", &bytes)
    }
}
