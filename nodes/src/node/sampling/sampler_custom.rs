use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::custom::{Custom, Sampled};
use super::seed::Seed;
use crate::recipes::{Guider, Model};
use crate::sampling::guidance::Guide;
use crate::sampling::samplers::Sampler;
use crate::values::{Conditioning, Latent, NoiseChoice, Sigmas};

/// Denoises a latent with a sampler and noise levels that other nodes choose.
#[derive(Node)]
#[node(category = "sampling/custom_sampling")]
struct SamplerCustom {
    model: Model,
    /// Whether noise is added to the latent at the start.
    #[input(default = true)]
    add_noise: bool,
    #[input(default = 0, min = 0, max = u64::MAX, control_after_generate, beyond = Below)]
    noise_seed: Seed,
    /// The strength of guidance (cfg) from the negative towards the positive conditioning.
    #[input(default = 8.0, min = 0.0, max = 100.0, step = 0.1, round = 0.01, beyond = Both)]
    cfg: f64,
    positive: Conditioning,
    negative: Conditioning,
    sampler: Sampler,
    sigmas: Sigmas,
    latent_image: Latent,
}

impl Run for SamplerCustom {
    type Out = Sampled;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Sampled> {
        let guide = Guide::cfg(&self.positive, &self.negative, self.cfg);
        let custom = Custom {
            guider: Guider { model: self.model, guide },
            noise: if self.add_noise { NoiseChoice::Random(self.noise_seed.0) } else { NoiseChoice::Disabled },
            seed: self.noise_seed.0,
            sampler: self.sampler,
            sigmas: self.sigmas,
            latent: self.latent_image,
        };
        custom.run(cx)
    }
}
