use anyhow::Result;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::python::seed_sequence::seed_words;
use redraft_nodes::values::Image;

use super::hints::{Framed, RESOLUTION, each};
use crate::opencv::{Going, Method, Raster, remap, resize_doubles};

/// Mixes what pictures show: each pixel is taken from a random place, near ones from near ones.
#[derive(Node)]
#[node(
    class = "ShufflePreprocessor",
    category = "ControlNet Preprocessors/T2IAdapter-only",
    display = "Content Shuffle"
)]
pub(super) struct Shuffle {
    pub(super) image: Image,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
    /// With 0 the pack shuffles otherwise each time; here it is a seed like others.
    #[input(default = 0, min = 0, max = u64::MAX)]
    pub(super) seed: Option<u64>,
}

impl Run for Shuffle {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let seed = self.seed.unwrap_or(0);
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        each(&self.image, cx, |picture, going| shuffled(picture, seed, resolution, going))
    }
}

/// With the seed that the node has by itself.
pub(super) fn usual(picture: &Raster<u8>, resolution: i64, going: Going) -> Result<Raster<u8>> {
    shuffled(picture, 0, resolution, going)
}

fn shuffled(picture: &Raster<u8>, seed: u64, resolution: i64, going: Going) -> Result<Raster<u8>> {
    let framed = Framed::of(picture, resolution, Method::Cubic, going)?;
    let (width, height) = (framed.picture.width, framed.picture.height);
    let mut rng = generator(seed);
    let across = noise((width, height), &mut rng, going)?;
    let down = noise((width, height), &mut rng, going)?;
    let mut places: Raster<[f32; 2]> = Raster::blank(width, height, 1)?;
    for ((into, x), y) in places.values.iter_mut().zip(&across.values).zip(&down.values) {
        *into = [(x * (width - 1) as f64) as f32, (y * (height - 1) as f64) as f32];
    }
    framed.cut(&remap::linear(&framed.picture, &places, going)?, going)
}

/// NumPy's `default_rng(seed)`.
fn generator(seed: u64) -> Pcg64 {
    let words = seed_words(seed, &[], 4, 8);
    let long =
        |first: usize| words[first..].iter().take(2).rev().fold(0_u128, |long, word| long << 32 | u128::from(*word));
    Pcg64::new(long(0) << 64 | long(2), long(4) << 64 | long(6))
}

/// Smooth noise from 0 to 1 at both ends: a random value every 256 pixels, and what lies between.
fn noise((width, height): (usize, usize), rng: &mut Pcg64, going: Going) -> Result<Raster<f64>> {
    const STEP: usize = 256;
    let mut coarse: Raster<f64> = Raster::blank(width / STEP + 2, height / STEP + 2, 1)?;
    coarse.values.iter_mut().for_each(|value| *value = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64);
    let fine = resize_doubles::cubic(&coarse, (width + 2 * STEP, height + 2 * STEP), going)?;
    let mut fine = fine.cut((STEP, STEP), (width, height), going)?;
    let least = fine.values.iter().copied().fold(f64::INFINITY, f64::min);
    fine.values.iter_mut().for_each(|value| *value -= least);
    let most = fine.values.iter().copied().fold(0.0, f64::max);
    fine.values.iter_mut().for_each(|value| *value /= most);
    Ok(fine)
}
