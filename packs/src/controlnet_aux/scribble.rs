use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::values::Image;

use super::hints::{Framed, RESOLUTION, each};
use crate::opencv::gaussian::blur;
use crate::opencv::{Going, Method, Raster};

/// Makes black what is dark in any channel, and all else white.
#[derive(Node)]
#[node(
    class = "ScribblePreprocessor",
    category = "ControlNet Preprocessors/Line Extractors",
    display = "Scribble Lines"
)]
pub(super) struct Scribble {
    pub(super) image: Image,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for Scribble {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        each(&self.image, cx, |picture, going| scribble(picture, resolution, going))
    }
}

pub(super) fn scribble(picture: &Raster<u8>, resolution: i64, going: Going) -> Result<Raster<u8>> {
    let framed = Framed::of(picture, resolution, Method::Area, going)?;
    let is_dark = |pixel: &[u8]| pixel.iter().any(|value| *value < 127);
    let made = framed.picture.pixels(1, going, |pixel, into| into[0] = if is_dark(pixel) { 0 } else { 255 })?;
    framed.cut(&made, going)
}

/// Draws dark lines in white on black: where a picture, slightly blurred, is darker than when it is strongly blurred.
#[derive(Node)]
#[node(
    class = "Scribble_XDoG_Preprocessor",
    category = "ControlNet Preprocessors/Line Extractors",
    display = "Scribble XDoG Lines"
)]
pub(super) struct ScribbleXDoG {
    pub(super) image: Image,
    /// How much darker, in halves of a byte's steps.
    #[input(default = 32, min = 1, max = 64, step = 1)]
    pub(super) threshold: Option<i64>,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for ScribbleXDoG {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let threshold = self.threshold.unwrap_or(THRESHOLD);
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        each(&self.image, cx, |picture, going| differences(picture, threshold, resolution, going))
    }
}

const THRESHOLD: i64 = 32;

/// With the threshold that the node has by itself.
pub(super) fn usual_differences(picture: &Raster<u8>, resolution: i64, going: Going) -> Result<Raster<u8>> {
    differences(picture, THRESHOLD, resolution, going)
}

fn differences(picture: &Raster<u8>, threshold: i64, resolution: i64, going: Going) -> Result<Raster<u8>> {
    let framed = Framed::of(picture, resolution, Method::Cubic, going)?;
    let floats = in_floats(&framed.picture, going)?;
    let sharp = blur(&floats, 0.5, going)?;
    let soft = blur(&floats, 5.0, going)?;
    let mut made: Raster<u8> = Raster::blank(sharp.width, sharp.height, 1)?;
    let differences =
        sharp.values.chunks_exact(3).zip(soft.values.chunks_exact(3)).map(|(sharp, soft)| least(sharp, soft));
    for (into, difference) in made.values.iter_mut().zip(differences) {
        let from_white = (255.0 - difference).clamp(0.0, 255.0) as u8;
        // The pack counts in bytes here, without what goes beyond one.
        let doubled = (255 - from_white).wrapping_mul(2);
        *into = if i64::from(doubled) > threshold { 255 } else { 0 };
    }
    framed.cut(&made, going)
}

/// The bytes as float32, 0 to 255.
pub(super) fn in_floats(picture: &Raster<u8>, going: Going) -> Result<Raster<f32>> {
    picture.pixels(picture.channels, going, |pixel, into| {
        into.iter_mut().zip(pixel).for_each(|(into, value)| *into = f32::from(*value));
    })
}

/// The least of what the second pixel is above the first.
pub(super) fn least(first: &[f32], second: &[f32]) -> f32 {
    first.iter().zip(second).map(|(first, second)| second - first).fold(f32::INFINITY, f32::min)
}
