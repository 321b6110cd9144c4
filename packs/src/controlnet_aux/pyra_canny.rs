use anyhow::Result;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, memory};
use redraft_nodes::values::Image;

use super::hints::{Framed, RESOLUTION, each};
use crate::opencv::canny::canny;
use crate::opencv::resize_floats::linear;
use crate::opencv::{Going, Method, Raster, resize};

/// Draws edges as Canny finds them in each channel of nine sizes of a picture, laid over one another.
#[derive(Node)]
#[node(class = "PyraCannyPreprocessor", category = "ControlNet Preprocessors/Line Extractors", display = "PyraCanny")]
pub(super) struct PyraCanny {
    pub(super) image: Image,
    /// Gradients above it are edges if they are connected to one.
    #[input(default = 64, min = 0, max = 255, step = 1)]
    pub(super) low_threshold: Option<i64>,
    /// Gradients above it are edges.
    #[input(default = 128, min = 0, max = 255, step = 1)]
    pub(super) high_threshold: Option<i64>,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for PyraCanny {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let thresholds = (self.low_threshold.unwrap_or(LOW), self.high_threshold.unwrap_or(HIGH));
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        each(&self.image, cx, |picture, going| edges(picture, thresholds, resolution, going))
    }
}

const LOW: i64 = 64;
const HIGH: i64 = 128;

/// With the thresholds that the node has by itself.
pub(super) fn usual(picture: &Raster<u8>, resolution: i64, going: Going) -> Result<Raster<u8>> {
    edges(picture, (LOW, HIGH), resolution, going)
}

fn edges(picture: &Raster<u8>, thresholds: (i64, i64), resolution: i64, going: Going) -> Result<Raster<u8>> {
    let framed = Framed::of(picture, resolution, Method::Cubic, going)?;
    let layers = layers(&framed.picture, thresholds, going)?;
    let sums: Raster<f32> = layers.pixels(1, going, |pixel, into| into[0] = (pixel[0] + pixel[1]) + pixel[2])?;
    framed.cut(&stretched(&sums, going)?, going)
}

/// The edges of each size, the smallest first; each counts a quarter, and what is below it three quarters.
fn layers(picture: &Raster<u8>, (low, high): (i64, i64), going: Going) -> Result<Raster<f32>> {
    const SIZES: [f64; 9] = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
    let mut layers: Option<Raster<f32>> = None;
    for factor in SIZES {
        let size = ((picture.width as f64 * factor) as usize, (picture.height as f64 * factor) as usize);
        let small = resize(picture, size, Method::Area, going)?;
        let mut edges: Raster<f32> = Raster::blank(size.0, size.1, small.channels)?;
        for number in 0..small.channels {
            let found = canny(&small.channel(number, going)?, low as i32, high as i32, going)?;
            for (into, edge) in edges.values.chunks_exact_mut(small.channels).zip(&found.values) {
                into[number] = f32::from(*edge) / 255.0;
            }
        }
        if let Some(below) = layers {
            let below = linear(&below, size, going)?;
            edges.values.iter_mut().zip(&below.values).for_each(|(edge, below)| *edge = below * 0.75 + *edge * 0.25);
        }
        layers = Some(edges);
    }
    layers.ok_or_else(|| anyhow::anyhow!("there are no sizes: this is a bug"))
}

/// From black for the hundredth part that is darkest to white for the hundredth that is lightest. Where these are alike, white is what is
/// lighter.
fn stretched(sums: &Raster<f32>, going: Going) -> Result<Raster<u8>> {
    memory::ask(sums.values.len().saturating_mul(4), "the edges in order")?;
    let mut values = sums.values.clone();
    let dark = percentile(&mut values, 0.01);
    let light = percentile(&mut values, 0.99);
    // What is dark throughout is 0 / 0 here, which becomes 0.
    sums.pixels(1, going, |pixel, into| into[0] = ((pixel[0] - dark) / (light - dark) * 255.0).clamp(0.0, 255.0) as u8)
}

/// The value below which this part of the values lies, between the two that are nearest. Changes their order.
fn percentile(values: &mut [f32], part: f64) -> f32 {
    let place = (values.len() - 1) as f64 * part;
    let at = place.floor() as usize;
    let share = place - place.floor();
    let (_, first, rest) = values.select_nth_unstable_by(at, f32::total_cmp);
    let first = *first;
    let second = rest.iter().copied().min_by(f32::total_cmp).unwrap_or(first);
    let step = second - first;
    if share >= 0.5 { second - step * (1.0 - share) as f32 } else { first + step * share as f32 }
}
