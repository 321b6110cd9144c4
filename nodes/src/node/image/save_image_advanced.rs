use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Choices, Combo, Node, Outputs};
use serde_json::Value as Json;
use tch::Tensor;

use super::save_image::{announce, location, metadata};
use crate::ops::transfer::{hlg_to_linear, srgb_to_linear};
use crate::pictures::exr::{Primaries, encode_exr};
use crate::pictures::write::{Compression, Depth, encode_deep, write_numbered};
use crate::values::Image;

/// Saves pictures in the output folder, each with the workflow that made it, and passes them on.
#[derive(Node)]
#[node(category = "image", display = "Save Image (Advanced)", output, hidden("prompt", "extra_pnginfo"))]
struct SaveImageAdvanced {
    /// The pictures: grey, RGB or RGBA.
    images: Image,
    /// The prefix of the files' names. It may contain subfolders, and variables such as `%date:yyyy-MM-dd%`.
    #[input(default = "ComfyUI")]
    filename_prefix: String,
    /// The format of the files.
    format: Format,
}

#[derive(Choices)]
enum Format {
    Png {
        #[input(default = "8-bit")]
        bit_depth: PngDepth,
        #[input(default = "sRGB")]
        input_color_space: OnlySrgb,
    },
    /// Floats of 32 bits, linear in the light of the scene.
    Exr {
        #[input(default = "32-bit float")]
        bit_depth: OnlyFloat,
        /// What the pictures' values are: sRGB's, hybrid log-gamma's with the colours of Rec. 2020, or linear already.
        #[input(default = "sRGB")]
        input_color_space: ColorSpace,
    },
}

#[derive(Combo)]
enum PngDepth {
    #[combo(name = "8-bit")]
    Eight,
    #[combo(name = "16-bit")]
    Sixteen,
}

#[derive(Combo)]
enum OnlySrgb {
    #[combo(name = "sRGB")]
    Srgb,
}

#[derive(Combo)]
enum OnlyFloat {
    #[combo(name = "32-bit float")]
    Float,
}

#[derive(Combo)]
enum ColorSpace {
    #[combo(name = "sRGB")]
    Srgb,
    #[combo(name = "HDR")]
    Hdr,
    #[combo(name = "linear")]
    Linear,
}

#[derive(Outputs)]
struct PassedOn {
    #[output(name = "images")]
    images: Image,
}

impl Run for SaveImageAdvanced {
    type Out = PassedOn;

    fn run(self, cx: &mut Cx) -> Result<PassedOn> {
        let images = self.images;
        let size = images.0.size();
        ensure!(
            matches!(size[..], [_, height, width, 1 | 3 | 4] if height > 0 && width > 0),
            "pictures of shape {size:?} cannot be saved; make them grey, RGB or RGBA, of at least one pixel"
        );
        let location = location(&images, &self.filename_prefix, &cx.folders.output)?;
        let texts = metadata(cx);
        let mut counter = location.counter;
        for number in 0..size[0] {
            cx.check()?;
            let bytes = self.format.encoded(&images.0.get(number), &texts)?;
            let name = |counter| {
                let name = location.name.replace("%batch_num%", &number.to_string());
                format!("{name}_{counter:05}.{}", self.format.ending())
            };
            let saved = write_numbered(&location, &mut counter, name, &bytes)?;
            announce(cx, "images", &location, saved, "output")?;
        }
        Ok(PassedOn { images })
    }
}

impl Format {
    fn ending(&self) -> &'static str {
        match self {
            Self::Png { .. } => "png",
            Self::Exr { .. } => "exr",
        }
    }

    /// One picture, H×W×C, as a file.
    fn encoded(&self, image: &Tensor, texts: &[(String, Json)]) -> Result<Vec<u8>> {
        match self {
            Self::Png { bit_depth, input_color_space: OnlySrgb::Srgb } => {
                let depth = match bit_depth {
                    PngDepth::Eight => Depth::Eight,
                    PngDepth::Sixteen => Depth::Sixteen,
                };
                encode_deep(image, texts, Compression::Saved, depth)
            }
            Self::Exr { bit_depth: OnlyFloat::Float, input_color_space } => match input_color_space {
                ColorSpace::Srgb => encode_exr(&srgb_to_linear(image), texts, Primaries::Rec709),
                ColorSpace::Linear => encode_exr(image, texts, Primaries::Rec709),
                ColorSpace::Hdr => encode_exr(&hlg_to_linear(image), texts, Primaries::Rec2020),
            },
        }
    }
}
