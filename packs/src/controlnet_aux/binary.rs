use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::values::Image;

use super::hints::{Framed, RESOLUTION, each};
use crate::opencv::colour::grey;
use crate::opencv::threshold::{otsu, threshold};
use crate::opencv::{Going, Method, Raster};

/// Makes pictures black and white: white what is lighter than a threshold.
#[derive(Node)]
#[node(class = "BinaryPreprocessor", category = "ControlNet Preprocessors/Line Extractors", display = "Binary Lines")]
pub(super) struct Binary {
    pub(super) image: Image,
    /// Of 255. With 0 and 255 each picture has the threshold that parts it best (Otsu's).
    #[input(default = 100, min = 0, max = 255, step = 1)]
    pub(super) bin_threshold: Option<i64>,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for Binary {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let limit = self.bin_threshold.unwrap_or(LIMIT);
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        each(&self.image, cx, |picture, going| black_and_white(picture, limit, resolution, going))
    }
}

const LIMIT: i64 = 100;

/// With the threshold that the node has by itself.
pub(super) fn usual(picture: &Raster<u8>, resolution: i64, going: Going) -> Result<Raster<u8>> {
    black_and_white(picture, LIMIT, resolution, going)
}

fn black_and_white(picture: &Raster<u8>, limit: i64, resolution: i64, going: Going) -> Result<Raster<u8>> {
    let framed = Framed::of(picture, resolution, Method::Cubic, going)?;
    let mut grey = grey(&framed.picture, going)?;
    let limit = u8::try_from(limit).ok().filter(|limit| !matches!(limit, 0 | 255)).unwrap_or_else(|| otsu(&grey));
    threshold(&mut grey, limit, 0, 255);
    framed.cut(&grey, going)
}
