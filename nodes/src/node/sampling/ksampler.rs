use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::sampled;
use super::seed::Seed;
use crate::recipes::Model;
use crate::sampling::guidance::Batching;
use crate::sampling::ksampler::SampleRequest;
use crate::sampling::samplers::Sampler;
use crate::sampling::schedules::Schedule;
use crate::values::{Conditioning, Latent};

/// Denoises a latent under a positive and a negative conditioning.
///
/// `denoise` is the share of the schedule that is run, counted from its clean end. Below 1 the result keeps something
/// of the given latent (image2image). The number of steps stays the same.
#[derive(Node)]
#[node(category = "sampling", display = "KSampler")]
struct KSampler {
    /// The model that denoises.
    model: Model,
    /// The seed of the noise.
    #[input(default = 0, min = 0, max = u64::MAX, control_after_generate, beyond = Below)]
    seed: Seed,
    /// The number of sampling steps.
    #[input(default = 20, min = 1, max = 10000)]
    steps: usize,
    /// The strength of guidance (cfg) from the negative towards the positive conditioning; 1 leaves the negative out.
    #[input(default = 8.0, min = 0.0, max = 100.0, step = 0.1, round = 0.01, beyond = Both)]
    cfg: f64,
    /// The sampling method.
    sampler_name: &'static Sampler,
    /// The schedule: how the noise levels are spread over the steps.
    scheduler: &'static Schedule,
    /// What the result should show.
    positive: Conditioning,
    /// What it should not show.
    negative: Conditioning,
    /// The latent to start from.
    latent_image: Latent,
    /// The share of the schedule that is run, from its clean end.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01, beyond = Both)]
    denoise: f64,
}

impl Run for KSampler {
    type Out = Latent;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Latent> {
        let request = SampleRequest {
            seed: self.seed.0,
            steps: self.steps,
            cfg: self.cfg,
            sampler: self.sampler_name,
            schedule: self.scheduler,
            positive: self.positive,
            negative: self.negative,
            latent: self.latent_image,
            denoise: self.denoise,
            add_noise: true,
            start_at_step: None,
            end_at_step: None,
            force_full_denoise: false,
            batching: Batching::Together,
        };
        sampled(&self.model, &request, cx)
    }
}
