use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::noise::randn;
use crate::values::Image;

/// Adds Gaussian noise to pictures.
#[derive(Node)]
#[node(category = "image")]
struct ImageAddNoise {
    image: Image,
    /// The seed of the noise.
    #[input(default = 0, min = 0, max = u64::MAX, control_after_generate)]
    seed: u64,
    /// The standard deviation of the noise. Pictures go from 0 to 1.
    #[input(default = 0.5, min = 0.0, max = 1.0, step = 0.01, beyond = Both)]
    strength: f64,
}

impl Run for ImageAddNoise {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let Image(image) = self.image;
        let noise = self.strength * randn(self.seed, &image.size());
        Ok(Image((image + noise).clamp(0.0, 1.0)))
    }
}
