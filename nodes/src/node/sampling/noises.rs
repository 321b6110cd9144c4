//! Nodes that give noise, or add it to a latent.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::seed::Seed;
use crate::recipes::Model;
use crate::values::{Latent, NoiseChoice, Sigmas};

/// Gives no noise, for a latent that already has some.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/noise")]
struct DisableNoise {}

impl Run for DisableNoise {
    type Out = NoiseChoice;

    fn run(self, _: &mut Cx) -> anyhow::Result<NoiseChoice> {
        Ok(NoiseChoice::Disabled)
    }
}

/// Gives random noise from a seed.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/noise")]
struct RandomNoise {
    #[input(default = 0, min = 0, max = u64::MAX, control_after_generate, beyond = Below)]
    noise_seed: Seed,
}

impl Run for RandomNoise {
    type Out = NoiseChoice;

    fn run(self, _: &mut Cx) -> anyhow::Result<NoiseChoice> {
        Ok(NoiseChoice::Random(self.noise_seed.0))
    }
}

/// Adds noise to a latent: the difference between the first and the last of the given noise levels.
#[derive(Node)]
#[node(category = "_for_testing/custom_sampling/noise", experimental)]
struct AddNoise {
    model: Model,
    noise: NoiseChoice,
    sigmas: Sigmas,
    latent_image: Latent,
}

impl Run for AddNoise {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let level = match self.sigmas.0.as_slice() {
            [] => return Ok(self.latent_image),
            [only] => *only,
            [first, .., last] => (first - last).abs(),
        };
        let format = self.model.latent_format;
        let (noise, _) = self.noise.draw(&self.latent_image)?;
        let latent = format.in_network_scale(&self.latent_image.samples);
        let noisy = format.in_vae_units(&self.model.sampling().at_level(&latent, &noise, level));
        Ok(self.latent_image.with_samples(noisy.nan_to_num(0.0, 0.0, 0.0)))
    }
}
