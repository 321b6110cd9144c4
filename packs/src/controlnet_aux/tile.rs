use anyhow::{Result, ensure};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::values::Image;

use super::hints::{each, in_colour};
use crate::opencv::gaussian_bytes::blur;
use crate::opencv::pyramid::up;
use crate::opencv::{Going, Method, Raster, resize};

/// Blurs pictures: they are made smaller, and smoothly larger again. Their sides become multiples of 64 pixels.
#[derive(Node)]
#[node(class = "TilePreprocessor", category = "ControlNet Preprocessors/tile", display = "Tile")]
#[allow(dead_code, reason = "the pack does not use the resolution either")]
pub(super) struct Tile {
    pub(super) image: Image,
    /// How often the sides are halved.
    #[input(name = "pyrUp_iters", default = 3, min = 1, max = 10, step = 1)]
    pub(super) halvings: Option<i64>,
    /// Not used.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for Tile {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let halvings = self.halvings.unwrap_or(HALVINGS);
        each(&self.image, cx, |picture, going| smoothed(picture, halvings, going))
    }
}

const HALVINGS: i64 = 3;

/// With the halvings that the node has by itself.
pub(super) fn usual(picture: &Raster<u8>, _: i64, going: Going) -> Result<Raster<u8>> {
    smoothed(picture, HALVINGS, going)
}

fn smoothed(picture: &Raster<u8>, halvings: i64, going: Going) -> Result<Raster<u8>> {
    let side = |side: usize| ((side as f64 / 64.0).round_ties_even() as usize * 64) >> halvings;
    let (width, height) = (side(picture.width), side(picture.height));
    ensure!(
        width > 0 && height > 0,
        "nothing is left of {} × {} pixels after {halvings} halvings; set a smaller pyrUp_iters or connect larger pictures",
        picture.width,
        picture.height
    );
    let small = resize(picture, (width, height), Method::Area, going)?;
    (0..halvings).try_fold(in_colour(small, going)?, |picture, _| up(&picture, going))
}

/// Blurs pictures: they are made smaller and as large again, and then a Gaussian is laid over them.
#[derive(Node)]
#[node(
    class = "TTPlanet_TileSimple_Preprocessor",
    category = "ControlNet Preprocessors/tile",
    display = "TTPlanet Tile Simple"
)]
pub(super) struct TileSimple {
    pub(super) image: Image,
    /// How much smaller.
    #[input(default = 1.0, min = 1.0, max = 8.0, step = 0.01)]
    pub(super) scale_factor: Option<f64>,
    /// Twice the Gaussian's sigma. Its kernel has so many pixels, or one more.
    #[input(default = 2.0, min = 1.0, max = 10.0, step = 0.01)]
    pub(super) blur_strength: Option<f64>,
}

impl Run for TileSimple {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let scale = self.scale_factor.unwrap_or(SCALE);
        let strength = self.blur_strength.unwrap_or(STRENGTH);
        each(&self.image, cx, |picture, going| simple(picture, scale, strength, going))
    }
}

const SCALE: f64 = 1.0;
const STRENGTH: f64 = 2.0;

/// With the values that the node has by itself.
pub(super) fn usual_simple(picture: &Raster<u8>, _: i64, going: Going) -> Result<Raster<u8>> {
    simple(picture, SCALE, STRENGTH, going)
}

fn simple(picture: &Raster<u8>, scale: f64, strength: f64, going: Going) -> Result<Raster<u8>> {
    let side = |side: usize| (side as f64 / scale) as usize;
    let (width, height) = (side(picture.width), side(picture.height));
    ensure!(
        width > 0 && height > 0,
        "nothing is left of {} × {} pixels at a scale_factor of {scale}; set a smaller one or connect larger pictures",
        picture.width,
        picture.height
    );
    let small = resize(picture, (width, height), Method::Area, going)?;
    let large = resize(&small, (picture.width, picture.height), Method::Lanczos4, going)?;
    in_colour(blur(&large, strength as usize | 1, strength / 2.0, going)?, going)
}
