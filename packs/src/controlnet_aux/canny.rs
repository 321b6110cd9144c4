use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::values::Image;

use super::hints::{Framed, RESOLUTION, each};
use crate::opencv::canny::canny;
use crate::opencv::{Going, Method, Raster};

/// Draws edges in white on black, as Canny finds them in eight bits a channel.
#[derive(Node)]
#[node(class = "CannyEdgePreprocessor", category = "ControlNet Preprocessors/Line Extractors", display = "Canny Edge")]
pub(super) struct CannyEdge {
    pub(super) image: Image,
    /// Gradients above it are edges if they are connected to one.
    #[input(default = 100, min = 0, max = 255, step = 1)]
    pub(super) low_threshold: Option<i64>,
    /// Gradients above it are edges.
    #[input(default = 200, min = 0, max = 255, step = 1)]
    pub(super) high_threshold: Option<i64>,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for CannyEdge {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let low = self.low_threshold.unwrap_or(LOW);
        let high = self.high_threshold.unwrap_or(HIGH);
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        each(&self.image, cx, |picture, going| edges(picture, low, high, resolution, going))
    }
}

const LOW: i64 = 100;
const HIGH: i64 = 200;

/// With the thresholds that the node has by itself.
pub(super) fn usual(picture: &Raster<u8>, resolution: i64, going: Going) -> Result<Raster<u8>> {
    edges(picture, LOW, HIGH, resolution, going)
}

fn edges(picture: &Raster<u8>, low: i64, high: i64, resolution: i64, going: Going) -> Result<Raster<u8>> {
    let framed = Framed::of(picture, resolution, Method::Cubic, going)?;
    framed.cut(&canny(&framed.picture, low as i32, high as i32, going)?, going)
}
