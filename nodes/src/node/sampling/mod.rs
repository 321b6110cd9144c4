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

use crate::networks::Networks;
use crate::recipes::Model;
use crate::sampling::ksampler::{SampleRequest, sample};
use crate::sampling::preview;
use crate::sampling::samplers::{SAMPLERS, Sampler};
use crate::sampling::schedules::{SCHEDULES, Schedule};
use crate::values::Latent;

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

/// Samples, and reports each step as the node's progress.
fn sampled(model: &Model, request: &SampleRequest, cx: &mut Cx) -> anyhow::Result<Latent> {
    let ready = model.ready(&*cx.service::<Networks>()?)?;
    sample(&ready, request, &mut |step, total, denoised| {
        cx.preview(step + 1, || preview::jpeg(denoised, ready.latent_format))?;
        cx.progress(step + 1, total)
    })
}
