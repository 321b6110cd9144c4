use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::values::Image;

use super::hints::{Framed, RESOLUTION, each};
use crate::opencv::colour::{lightness, value};
use crate::opencv::{Going, Method, Raster};

/// Keeps how light pictures are: CIE's L*, with red and blue exchanged as in the pack.
#[derive(Node)]
#[node(class = "ImageLuminanceDetector", category = "ControlNet Preprocessors/Recolor", display = "Image Luminance")]
pub(super) struct Luminance {
    pub(super) image: Image,
    /// The result, 0 to 1, to this power.
    #[input(default = 1.0, min = 0.1, max = 2.0, step = 0.01)]
    pub(super) gamma_correction: Option<f64>,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for Luminance {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let gamma = self.gamma_correction.unwrap_or(GAMMA);
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        each(&self.image, cx, |picture, going| grey(picture, lightness, gamma, resolution, going))
    }
}

/// Keeps each pixel's strongest channel, as grey.
#[derive(Node)]
#[node(class = "ImageIntensityDetector", category = "ControlNet Preprocessors/Recolor", display = "Image Intensity")]
pub(super) struct Intensity {
    pub(super) image: Image,
    /// The result, 0 to 1, to this power.
    #[input(default = 1.0, min = 0.1, max = 2.0, step = 0.01)]
    pub(super) gamma_correction: Option<f64>,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for Intensity {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let gamma = self.gamma_correction.unwrap_or(GAMMA);
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        each(&self.image, cx, |picture, going| grey(picture, value, gamma, resolution, going))
    }
}

const GAMMA: f64 = 1.0;

/// Luminance with the gamma that the node has by itself.
pub(super) fn usual_luminance(picture: &Raster<u8>, resolution: i64, going: Going) -> Result<Raster<u8>> {
    grey(picture, lightness, GAMMA, resolution, going)
}

/// Intensity with the gamma that the node has by itself.
pub(super) fn usual_intensity(picture: &Raster<u8>, resolution: i64, going: Going) -> Result<Raster<u8>> {
    grey(picture, value, GAMMA, resolution, going)
}

fn grey(
    picture: &Raster<u8>,
    of: fn(&Raster<u8>, Going) -> Result<Raster<u8>>,
    gamma: f64,
    resolution: i64,
    going: Going,
) -> Result<Raster<u8>> {
    let framed = Framed::of(picture, resolution, Method::Cubic, going)?;
    let mut made = of(&framed.picture, going)?;
    let corrected = corrected(gamma as f32);
    made.values.iter_mut().for_each(|value| *value = corrected[usize::from(*value)]);
    framed.cut(&made, going)
}

/// What becomes of each byte.
fn corrected(gamma: f32) -> [u8; 256] {
    std::array::from_fn(|byte| {
        let value = byte as f32 / 255.0;
        let power = if gamma == 0.5 { value.sqrt() } else { value.powf(gamma) };
        (power * 255.0).clamp(0.0, 255.0) as u8
    })
}
