use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Kind;

use crate::ops::filters::{correlate, gaussian_square};
use crate::values::Image;

/// Sharpens pictures by an unsharp mask.
#[derive(Node)]
#[node(category = "image/postprocessing")]
struct ImageSharpen {
    image: Image,
    /// The radius of the blur in pixels.
    #[input(default = 1, min = 1, max = 31, step = 1)]
    sharpen_radius: i64,
    /// The standard deviation of the blur, in multiples of the radius.
    #[input(default = 1.0, min = 0.1, max = 10.0, step = 0.01, beyond = Both)]
    sigma: f64,
    /// The strength, in tenths.
    #[input(default = 1.0, min = 0.0, max = 5.0, step = 0.01, beyond = Both)]
    alpha: f64,
}

impl Run for ImageSharpen {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let radius = self.sharpen_radius;
        let kernel = gaussian_square(radius, self.sigma) * -(self.alpha * 10.0);
        // The weights of the kernel add up to 1, so that flat areas stay as they are.
        let mut center = kernel.get(radius).get(radius);
        center.copy_(&(&center - kernel.sum(Kind::Float) + 1.0));
        Ok(Image(correlate(&self.image.0, &kernel)?.clamp(0.0, 1.0)))
    }
}
