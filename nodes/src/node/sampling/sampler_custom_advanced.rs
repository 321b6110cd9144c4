use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::custom::{Custom, Sampled};
use crate::recipes::Guider;
use crate::sampling::samplers::Sampler;
use crate::values::{Latent, NoiseChoice, Sigmas};

/// Denoises a latent with noise, guider, sampler and noise levels that other nodes choose.
#[derive(Node)]
#[node(category = "sampling/custom_sampling")]
struct SamplerCustomAdvanced {
    noise: NoiseChoice,
    guider: Guider,
    sampler: Sampler,
    sigmas: Sigmas,
    latent_image: Latent,
}

impl Run for SamplerCustomAdvanced {
    type Out = Sampled;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Sampled> {
        let Self { noise, guider, sampler, sigmas, latent_image: latent } = self;
        Custom { guider, noise, seed: noise.seed(), sampler, sigmas, latent }.run(cx)
    }
}
