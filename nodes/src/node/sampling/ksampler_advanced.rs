use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use super::sampled;
use super::seed::Seed;
use crate::recipes::Model;
use crate::sampling::guidance::Batching;
use crate::sampling::ksampler::SampleRequest;
use crate::sampling::samplers::Sampler;
use crate::sampling::schedules::Schedule;
use crate::values::{Conditioning, Latent};

/// Denoises a latent over a part of a schedule: from `start_at_step` to `end_at_step` of `steps`.
///
/// Starting late is image2image: less noise is added, and fewer steps are made. Two of these nodes can share a schedule
/// if the first returns its leftover noise and the second adds none.
#[derive(Node)]
#[node(category = "sampling", display = "KSampler (Advanced)")]
struct KSamplerAdvanced {
    /// The model that denoises.
    model: Model,
    /// Whether noise is added to the latent at the start.
    add_noise: AddNoise,
    /// The seed of the noise.
    #[input(default = 0, min = 0, max = u64::MAX, control_after_generate, beyond = Below)]
    noise_seed: Seed,
    /// The number of steps of the whole schedule.
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
    /// The first step that is made, counted from 0. From `steps` on none is made, and the latent is returned as it is.
    #[input(default = 0, min = 0, max = 10000)]
    start_at_step: usize,
    /// The step before which the run ends.
    #[input(default = 10000, min = 0, max = 10000)]
    end_at_step: usize,
    /// Whether a run that ends early returns its latent with the noise that is left, instead of denoising it fully in
    /// the last step.
    return_with_leftover_noise: LeftoverNoise,
}

#[derive(Combo, PartialEq)]
enum AddNoise {
    Enable,
    Disable,
}

#[derive(Combo, PartialEq)]
enum LeftoverNoise {
    Disable,
    Enable,
}

impl Run for KSamplerAdvanced {
    type Out = Latent;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Latent> {
        let request = SampleRequest {
            seed: self.noise_seed.0,
            steps: self.steps,
            cfg: self.cfg,
            sampler: self.sampler_name,
            schedule: self.scheduler,
            positive: self.positive,
            negative: self.negative,
            latent: self.latent_image,
            denoise: 1.0,
            add_noise: self.add_noise == AddNoise::Enable,
            start_at_step: Some(self.start_at_step),
            end_at_step: Some(self.end_at_step),
            force_full_denoise: self.return_with_leftover_noise == LeftoverNoise::Disable,
            batching: Batching::Together,
        };
        sampled(&self.model, &request, cx)
    }
}
