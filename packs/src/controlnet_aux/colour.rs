use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::values::Image;

use super::hints::{RESOLUTION, each, in_colour};
use crate::opencv::{Going, Method, Raster, resize};

/// Makes large squares of one colour of pictures, 64 pixels wide.
#[derive(Node)]
#[node(class = "ColorPreprocessor", category = "ControlNet Preprocessors/T2IAdapter-only", display = "Color Pallete")]
pub(super) struct ColourPalette {
    pub(super) image: Image,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for ColourPalette {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        each(&self.image, cx, |picture, going| palette(picture, resolution, going))
    }
}

pub(super) fn palette(picture: &Raster<u8>, resolution: i64, going: Going) -> Result<Raster<u8>> {
    let picture = in_colour(picture.clone(), going)?;
    let short = usize::try_from(resolution)?;
    let long = |long: usize, of: usize| (long as f64 / of as f64 * short as f64).round_ties_even() as usize;
    let (width, height) = if picture.height < picture.width {
        (long(picture.width, picture.height), short)
    } else {
        (short, long(picture.height, picture.width))
    };
    let sized = resize(&picture, (width, height), Method::Area, going)?;
    let small = resize(&sized, (width / 64, height / 64), Method::Cubic, going)?;
    resize(&small, (width, height), Method::Nearest, going)
}
