use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::sampled;
use crate::recipes::Model;
use crate::sampling::guidance::Batching;
use crate::sampling::ksampler::SampleRequest;
use crate::sampling::samplers::Sampler;
use crate::sampling::schedules::Schedule;
use crate::values::{Conditioning, Latent};

/// Denoises a latent under a positive and a negative conditioning.
///
/// `denoise` says how much of the schedule is run, counted from its clean end: below 1 the picture in the latent shows
/// through. The number of steps stays the same.
#[derive(Node)]
#[node(category = "sampling", display = "KSampler")]
struct KSampler {
    /// The model that denoises.
    model: Model,
    /// Decides the noise; the same seed draws the same.
    #[input(default = 0, min = 0, max = u64::MAX, control_after_generate)]
    seed: u64,
    /// How many denoising steps are made.
    #[input(default = 20, min = 1, max = 10000)]
    steps: usize,
    /// How strongly the result is pulled from the negative towards the positive conditioning; 1 leaves the negative out.
    #[input(default = 8.0, min = 0.0, max = 100.0, step = 0.1, round = 0.01)]
    cfg: f64,
    /// The algorithm that makes the steps.
    sampler_name: &'static Sampler,
    /// How the noise levels are spread over the steps.
    scheduler: &'static Schedule,
    /// What the result should show.
    positive: Conditioning,
    /// What it should not show.
    negative: Conditioning,
    /// What to start from.
    latent_image: Latent,
    /// The share of the schedule that is run, from its clean end.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01)]
    denoise: f64,
}

impl Run for KSampler {
    type Out = Latent;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Latent> {
        let request = SampleRequest {
            seed: self.seed,
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
