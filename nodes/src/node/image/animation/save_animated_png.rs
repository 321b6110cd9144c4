use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::super::save_image::metadata;
use super::{milliseconds, save};
use crate::pictures::animation;
use crate::values::Image;

/// Saves a batch as an animated PNG file in the output folder, with the workflow that made it.
#[derive(Node)]
#[node(category = "image/animation", output, hidden("prompt", "extra_pnginfo"))]
struct SaveAnimatedPNG {
    /// The frames.
    images: Image,
    /// How the file's name begins.
    #[input(default = "ComfyUI")]
    filename_prefix: String,
    /// Frames per second.
    #[input(default = 6.0, min = 0.01, max = 1000.0, step = 0.01)]
    fps: f64,
    /// From 0 (fast, large files) to 9 (slow, small files). PNG is lossless at any level.
    #[input(default = 4, min = 0, max = 9)]
    compress_level: i64,
}

impl Run for SaveAnimatedPNG {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        let level = u8::try_from(self.compress_level)?;
        let bytes = animation::png(&self.images.0, milliseconds(self.fps), level, &metadata(cx))?;
        save(cx, &self.images, &self.filename_prefix, "png", &bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn only_several_frames_are_animated() {
        let dir = tempfile::tempdir().unwrap();
        for (frames, number) in [(1, 1), (3, 2)] {
            let mut cx = Cx::for_test().below(dir.path());
            let images = Image(Tensor::zeros([frames, 4, 4, 3], (Kind::Float, Device::Cpu)));
            let node = SaveAnimatedPNG { images, filename_prefix: "x".into(), fps: 6.0, compress_level: 0 };
            cx.run(node).unwrap();
            let file = json!({"filename": format!("x_{number:05}_.png"), "subfolder": "", "type": "output"});
            let shown = match frames {
                1 => json!({"images": [file]}),
                _ => json!({"images": [file], "animated": [true]}),
            };
            assert_eq!(json!(cx.shown.ui), shown);
        }
    }
}
