use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Kind;

use crate::ops::filters::{correlate, gaussian_square};
use crate::values::Image;

/// Sharpens pictures: takes a blurred copy away from them.
#[derive(Node)]
#[node(category = "image/postprocessing")]
struct ImageSharpen {
    image: Image,
    /// How far the blur reaches in pixels.
    #[input(default = 1, min = 1, max = 31, step = 1)]
    sharpen_radius: i64,
    /// The blur's standard deviation in radii.
    #[input(default = 1.0, min = 0.1, max = 10.0, step = 0.01)]
    sigma: f64,
    /// How much of the blur is taken away, in tenths of the picture.
    #[input(default = 1.0, min = 0.0, max = 5.0, step = 0.01)]
    alpha: f64,
}

impl Run for ImageSharpen {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let radius = self.sharpen_radius;
        let kernel = gaussian_square(radius, self.sigma) * -(self.alpha * 10.0);
        // Whatever is taken away is given back to the pixel itself, so that flat areas stay.
        let mut center = kernel.get(radius).get(radius);
        center.copy_(&(&center - kernel.sum(Kind::Float) + 1.0));
        Ok(Image(correlate(&self.image.0, &kernel)?.clamp(0.0, 1.0)))
    }
}
