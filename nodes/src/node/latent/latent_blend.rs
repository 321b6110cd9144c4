use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::third_and_fourth;
use crate::ops::resize::{Crop, Method, resize};
use crate::values::Latent;

/// Mixes two latents. The second is resized to the size of the first.
#[derive(Node)]
#[node(category = "_for_testing", display = "Latent Blend")]
struct LatentBlend {
    samples1: Latent,
    samples2: Latent,
    /// The share of the first latent.
    #[input(default = 0.5, min = 0, max = 1, step = 0.01, beyond = Both)]
    blend_factor: f64,
}

impl Run for LatentBlend {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let (one, two) = (&self.samples1.samples, &self.samples2.samples);
        let (height, width) = third_and_fourth(one)?;
        let two = match one.size() == two.size() {
            true => two.shallow_clone(),
            false => resize(two, width, height, Method::Bicubic, Crop::Center)?,
        };
        Ok(self.samples1.with_samples(one * self.blend_factor + two * (1.0 - self.blend_factor)))
    }
}
