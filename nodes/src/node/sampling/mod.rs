mod custom;
mod differential_diffusion;
mod flow_schedulers;
mod guiders;
mod ksampler;
mod ksampler_advanced;
mod model_schedulers;
mod noises;
mod sampler_custom;
mod sampler_custom_advanced;
mod samplers;
mod schedulers;
mod sigmas;
mod tabled_schedulers;

use redraft_engine::cx::Cx;
use redraft_engine::io::Combo;

use crate::models::unet_network::UNetNetwork;
use crate::networks::Networks;
use crate::recipes::Model;
use crate::sampling::guidance::Batching;
use crate::sampling::ksampler::{SampleRequest, sample};
use crate::sampling::preview;
use crate::sampling::samplers::{SAMPLERS, Sampler};
use crate::sampling::schedules::{SCHEDULES, Schedule};
use crate::values::{Conditioning, Latent};

impl Combo for &'static Sampler {
    fn names() -> Vec<&'static str> {
        SAMPLERS.iter().map(|sampler| sampler.name).collect()
    }

    fn from_name(name: &str) -> Option<Self> {
        SAMPLERS.iter().find(|sampler| sampler.name == name)
    }
}
redraft_engine::combo_field!(&'static Sampler);

impl Combo for &'static Schedule {
    fn names() -> Vec<&'static str> {
        SCHEDULES.iter().map(|schedule| schedule.name).collect()
    }

    fn from_name(name: &str) -> Option<Self> {
        SCHEDULES.iter().find(|schedule| schedule.name == name)
    }
}
redraft_engine::combo_field!(&'static Schedule);

/// What a sampling node was given besides the model.
struct Settings {
    seed: u64,
    steps: usize,
    cfg: f64,
    sampler: &'static Sampler,
    schedule: &'static Schedule,
    positive: Conditioning,
    negative: Conditioning,
    latent: Latent,
    denoise: f64,
    add_noise: bool,
    /// First step and the step before which it ends, where the node has them.
    window: Option<(usize, usize)>,
    force_full_denoise: bool,
}

impl Settings {
    /// Samples; every step is progress of the node.
    fn run(&self, model: &Model, cx: &mut Cx) -> anyhow::Result<Latent> {
        let networks = cx.service::<Networks>()?;
        let unet = model.network(&networks)?;
        let request = SampleRequest {
            network: &UNetNetwork::new(&unet, model),
            sampling: model.sampling(),
            hooks: &model.hooks,
            seed: self.seed,
            steps: self.steps,
            cfg: self.cfg,
            sampler: self.sampler,
            schedule: self.schedule,
            positive: &self.positive,
            negative: &self.negative,
            latent: &self.latent,
            denoise: self.denoise,
            add_noise: self.add_noise,
            start_at_step: self.window.map(|(start, _)| start),
            end_at_step: self.window.map(|(_, end)| end),
            force_full_denoise: self.force_full_denoise,
            batching: Batching::Together,
        };
        sample(&request, &mut |step, total, denoised| {
            cx.preview(step + 1, || preview::jpeg(denoised, &model.latent_format))?;
            cx.progress(step + 1, total)
        })
    }
}
