use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Choices, Node, Outputs};

use crate::ops::masks::batched;
use crate::ops::resize::{Crop, ImageMethod, Method, picture_size, resize, scaled, with_kept_shape, with_longer_side};
use crate::values::{Image, ImageOrMask, Mask};

/// Resizes pictures or masks.
#[derive(Node)]
#[node(class = "ResizeImageMaskNode", category = "transform", display = "Resize Image/Mask")]
struct ResizeImageMask {
    input: ImageOrMask,
    /// How the new size is given.
    resize_type: ResizeType,
    #[input(default = "area")]
    scale_method: ImageMethod,
}

#[derive(Choices)]
enum ResizeType {
    #[choice(name = "scale by multiplier")]
    Multiplier {
        #[input(default = 1.0, min = 0.01, max = 8.0, step = 0.01)]
        multiplier: f64,
    },
    #[choice(name = "scale dimensions")]
    Dimensions {
        /// In pixels. 0 keeps the aspect ratio; if both width and height are 0, the size stays.
        #[input(default = 512, min = 0, max = 16384, step = 1)]
        width: i64,
        #[input(default = 512, min = 0, max = 16384, step = 1)]
        height: i64,
        #[input(default = "center")]
        crop: Crop,
    },
    #[choice(name = "scale longer dimension")]
    Longer {
        #[input(default = 512, min = 0, max = 16384, step = 1)]
        longer_size: i64,
    },
    #[choice(name = "scale shorter dimension")]
    Shorter {
        #[input(default = 512, min = 0, max = 16384, step = 1)]
        shorter_size: i64,
    },
    #[choice(name = "scale width")]
    Width {
        #[input(default = 512, min = 0, max = 16384, step = 1)]
        width: i64,
    },
    #[choice(name = "scale height")]
    Height {
        #[input(default = 512, min = 0, max = 16384, step = 1)]
        height: i64,
    },
    #[choice(name = "scale total pixels")]
    TotalPixels {
        /// In units of 1024 × 1024 pixels.
        #[input(default = 1.0, min = 0.01, max = 16.0, step = 0.01)]
        megapixels: f64,
    },
    #[choice(name = "match size")]
    Match {
        /// The picture or mask whose size is taken.
        r#match: ImageOrMask,
        #[input(default = "center")]
        crop: Crop,
    },
}

#[derive(Outputs)]
struct Resized {
    #[output(name = "resized")]
    resized: ImageOrMask,
}

impl Run for ResizeImageMask {
    type Out = Resized;

    fn run(self, _: &mut Cx) -> anyhow::Result<Resized> {
        let resized = match self.resize_type.target(size(&self.input)?)? {
            None => self.input,
            Some((width, height, crop)) => resized(&self.input, (width, height), self.scale_method.0, crop)?,
        };
        Ok(Resized { resized })
    }
}

impl ResizeType {
    /// The new width and height, and how the picture is cropped. Nothing if it stays as it is.
    fn target(&self, (columns, rows): (i64, i64)) -> anyhow::Result<Option<(i64, i64, Crop)>> {
        let (width, height, crop) = match *self {
            Self::Multiplier { multiplier } => (scaled(columns, multiplier), scaled(rows, multiplier), Crop::Disabled),
            Self::Dimensions { width, height, crop } => (width, height, crop),
            Self::Width { width } => (width, 0, Crop::Disabled),
            Self::Height { height } => (0, height, Crop::Disabled),
            Self::Longer { longer_size } => {
                let (width, height) = with_longer_side((columns, rows), longer_size);
                (width, height, Crop::Disabled)
            }
            Self::Shorter { shorter_size } => {
                // ComfyUI makes portrait pictures square here.
                let share = (columns as f64 / rows as f64).max(1.0);
                ((share * shorter_size as f64).round_ties_even() as i64, shorter_size, Crop::Disabled)
            }
            Self::TotalPixels { megapixels } => {
                let total = (megapixels * 1024.0 * 1024.0).trunc();
                let factor = (total / (columns * rows) as f64).sqrt();
                (scaled(columns, factor), scaled(rows, factor), Crop::Disabled)
            }
            Self::Match { ref r#match, crop } => {
                let (width, height) = size(r#match)?;
                (width, height, crop)
            }
        };
        Ok(match self {
            Self::Dimensions { .. } | Self::Width { .. } | Self::Height { .. } => {
                let kept = with_kept_shape((columns, rows), width, height);
                (width != 0 || height != 0).then_some((kept.0, kept.1, crop))
            }
            _ => Some((width, height, crop)),
        })
    }
}

fn size(input: &ImageOrMask) -> anyhow::Result<(i64, i64)> {
    match input {
        ImageOrMask::Image(Image(image)) => picture_size(image),
        ImageOrMask::Mask(Mask(mask)) => picture_size(&batched(mask)?.unsqueeze(3)),
    }
}

fn resized(input: &ImageOrMask, size: (i64, i64), method: Method, crop: Crop) -> anyhow::Result<ImageOrMask> {
    Ok(match input {
        ImageOrMask::Image(Image(image)) => {
            let image = resize(&image.movedim_int(-1, 1), size.0, size.1, method, crop)?;
            ImageOrMask::Image(Image(image.movedim_int(1, -1)))
        }
        ImageOrMask::Mask(Mask(mask)) => {
            let mask = resize(&batched(mask)?.unsqueeze(1), size.0, size.1, method, crop)?;
            ImageOrMask::Mask(Mask(mask.squeeze_dim(1)))
        }
    })
}
