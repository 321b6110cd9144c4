use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::filters::{correlate, gaussian_square};
use crate::values::Image;

/// Blurs pictures with a Gaussian.
#[derive(Node)]
#[node(category = "image/postprocessing")]
struct ImageBlur {
    image: Image,
    /// The radius of the kernel in pixels.
    #[input(default = 1, min = 1, max = 31, step = 1)]
    blur_radius: i64,
    /// The standard deviation of the Gaussian, in multiples of the radius.
    #[input(default = 1.0, min = 0.1, max = 10.0, step = 0.1, beyond = Both)]
    sigma: f64,
}

impl Run for ImageBlur {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(Image(correlate(&self.image.0, &gaussian_square(self.blur_radius, self.sigma))?))
    }
}
