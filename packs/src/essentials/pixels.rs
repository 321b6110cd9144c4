//! Pictures and masks mirrored and bleached, and parts of batches.

use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};
use redraft_nodes::ops::masks::batched;
use redraft_nodes::values::{Image, Mask};
use tch::Tensor;

#[derive(Combo, Clone, Copy)]
enum Axis {
    /// Left and right change places.
    X,
    /// Top and bottom change places.
    Y,
    #[combo(name = "xy")]
    Both,
}

impl Axis {
    /// The dimensions of B×H×W… that are turned round.
    fn dimensions(self) -> &'static [i64] {
        match self {
            Self::X => &[2],
            Self::Y => &[1],
            Self::Both => &[1, 2],
        }
    }
}

/// Mirrors pictures.
#[derive(Node)]
#[node(class = "ImageFlip+", category = "essentials/image manipulation", display = "🔧 Image Flip")]
struct ImageFlip {
    image: Image,
    axis: Axis,
}

impl Run for ImageFlip {
    type Out = Image;

    fn run(self, _: &mut Cx) -> Result<Image> {
        Ok(Image(self.image.0.flip(self.axis.dimensions())))
    }
}

/// Mirrors masks.
#[derive(Node)]
#[node(class = "MaskFlip+", category = "essentials/mask", display = "🔧 Mask Flip")]
struct MaskFlip {
    mask: Mask,
    axis: Axis,
}

impl Run for MaskFlip {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> Result<Mask> {
        Ok(Mask(batched(&self.mask.0)?.flip(self.axis.dimensions())))
    }
}

/// Takes colour out of pictures.
#[derive(Node)]
#[node(class = "ImageDesaturate+", category = "essentials/image processing", display = "🔧 Image Desaturate")]
struct ImageDesaturate {
    image: Image,
    /// How much of it: 0 leaves the picture, 1 makes it grey.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.05)]
    factor: f64,
    /// What the grey is.
    method: Grey,
}

#[derive(Combo, Clone, Copy)]
enum Grey {
    #[combo(name = "luminance (Rec.709)")]
    Rec709,
    #[combo(name = "luminance (Rec.601)")]
    Rec601,
    Average,
    Lightness,
}

impl Grey {
    /// B×H×W of pictures.
    fn of(self, image: &Tensor) -> Tensor {
        let weighted = |red: f64, green: f64, blue: f64| {
            image.select(-1, 0) * red + image.select(-1, 1) * green + image.select(-1, 2) * blue
        };
        match self {
            Self::Rec709 => weighted(0.2126, 0.7152, 0.0722),
            Self::Rec601 => weighted(0.299, 0.587, 0.114),
            Self::Average => image.mean_dim([3i64].as_slice(), false, image.kind()),
            Self::Lightness => (image.amax([3i64].as_slice(), false) + image.amin([3i64].as_slice(), false)) / 2.0,
        }
    }
}

impl Run for ImageDesaturate {
    type Out = Image;

    fn run(self, _: &mut Cx) -> Result<Image> {
        let size = self.image.0.size();
        ensure!(size.get(3) == Some(&3), "input 'image' has the shape {size:?}; connect pictures of three channels");
        let grey = self.method.of(&self.image.0).unsqueeze(-1).expand([-1, -1, -1, 3], false);
        let mixed = &self.image.0 * (1.0 - self.factor) + grey * self.factor;
        Ok(Image(mixed.clamp(0.0, 1.0)))
    }
}

/// Takes pictures of a batch.
#[derive(Node)]
#[node(class = "ImageFromBatch+", category = "essentials/image batch", display = "🔧 Image From Batch")]
struct ImageFromBatch {
    image: Image,
    /// The first, from 0 on.
    #[input(default = 0, min = 0, step = 1)]
    start: i64,
    /// How many; -1 for all from there on.
    #[input(default = -1, min = -1, step = 1)]
    length: i64,
}

impl Run for ImageFromBatch {
    type Out = Image;

    fn run(self, _: &mut Cx) -> Result<Image> {
        let count = self.image.0.size()[0];
        ensure!(count > 0, "input 'image' is an empty batch; connect one with pictures");
        let start = self.start.min(count - 1);
        let left = count - start;
        let length = if self.length < 0 { left } else { self.length.min(left) };
        Ok(Image(self.image.0.narrow(0, start, length)))
    }
}
