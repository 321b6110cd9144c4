use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, memory};
use redraft_nodes::values::Image;

use super::hints::{Framed, RESOLUTION, each};
use super::scribble::{in_floats, least};
use crate::opencv::gaussian::blur;
use crate::opencv::{Going, Method, Raster};

/// Draws lines in white on black: how much darker the picture is than it is when blurred.
#[derive(Node)]
#[node(
    class = "LineartStandardPreprocessor",
    category = "ControlNet Preprocessors/Line Extractors",
    display = "Standard Lineart"
)]
pub(super) struct LineartStandard {
    pub(super) image: Image,
    /// How strongly it is blurred, above 0.
    #[input(default = 6.0, min = 0.0, max = 100.0, step = 0.01)]
    pub(super) guassian_sigma: Option<f64>,
    /// What is at most so dark does not count where the brightness of lines is chosen, of 255.
    #[input(default = 8, min = 0, max = 16, step = 1)]
    pub(super) intensity_threshold: Option<i64>,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for LineartStandard {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let sigma = self.guassian_sigma.unwrap_or(SIGMA);
        ensure!(sigma > 0.0, "input 'guassian_sigma' is {sigma}; set it above 0");
        let threshold = self.intensity_threshold.unwrap_or(THRESHOLD);
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        each(&self.image, cx, |picture, going| lines(picture, (sigma, threshold), resolution, going))
    }
}

const SIGMA: f64 = 6.0;
const THRESHOLD: i64 = 8;

/// With the values that the node has by itself.
pub(super) fn usual(picture: &Raster<u8>, resolution: i64, going: Going) -> Result<Raster<u8>> {
    lines(picture, (SIGMA, THRESHOLD), resolution, going)
}

fn lines(picture: &Raster<u8>, (sigma, threshold): (f64, i64), resolution: i64, going: Going) -> Result<Raster<u8>> {
    let framed = Framed::of(picture, resolution, Method::Cubic, going)?;
    let floats = in_floats(&framed.picture, going)?;
    let soft = blur(&floats, sigma, going)?;
    let mut dark: Raster<f32> = Raster::blank(soft.width, soft.height, 1)?;
    for ((into, sharp), soft) in
        dark.values.iter_mut().zip(floats.values.chunks_exact(3)).zip(soft.values.chunks_exact(3))
    {
        *into = least(sharp, soft).clamp(0.0, 255.0);
    }
    memory::ask(dark.values.len().saturating_mul(4), "the lines' brightness")?;
    let strong = dark.values.iter().copied().filter(|value| *value > threshold as f32).collect();
    let most = median(strong).filter(|median| *median > 16.0).unwrap_or(16.0);
    let made = dark.pixels(1, going, |pixel, into| into[0] = (pixel[0] / most * 127.0).clamp(0.0, 255.0) as u8)?;
    framed.cut(&made, going)
}

/// Of an even number the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f32>) -> Option<f32> {
    let half = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let is_even = values.len().is_multiple_of(2);
    let (below, above, _) = values.select_nth_unstable_by(half, f32::total_cmp);
    let below = below.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    Some(if is_even { (below + *above) / 2.0 } else { *above })
}
