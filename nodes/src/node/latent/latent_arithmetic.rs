//! Latents added, subtracted, multiplied.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::fitted_to;
use crate::values::Latent;

/// Adds two latents. The second is resized and repeated to the shape of the first.
#[derive(Node)]
#[node(category = "latent/advanced")]
struct LatentAdd {
    samples1: Latent,
    samples2: Latent,
}

impl Run for LatentAdd {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let other = fitted_to(&self.samples1, &self.samples2)?;
        Ok(self.samples1.with_samples(&self.samples1.samples + other))
    }
}

/// Subtracts the second latent from the first. It is resized and repeated to the shape of the first.
#[derive(Node)]
#[node(category = "latent/advanced")]
struct LatentSubtract {
    samples1: Latent,
    samples2: Latent,
}

impl Run for LatentSubtract {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let other = fitted_to(&self.samples1, &self.samples2)?;
        Ok(self.samples1.with_samples(&self.samples1.samples - other))
    }
}

/// Multiplies a latent by a number.
#[derive(Node)]
#[node(category = "latent/advanced")]
struct LatentMultiply {
    samples: Latent,
    #[input(default = 1.0, min = -10.0, max = 10.0, step = 0.01, beyond = Both)]
    multiplier: f64,
}

impl Run for LatentMultiply {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(self.samples.with_samples(&self.samples.samples * self.multiplier))
    }
}
