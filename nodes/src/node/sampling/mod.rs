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
mod seed;
mod sigmas;
mod tabled_schedulers;

use redraft_engine::cx::Cx;

use crate::networks::Networks;
use crate::recipes::Model;
use crate::sampling::ksampler::{SampleRequest, sample};
use crate::sampling::preview;
use crate::values::Latent;

/// Samples, and reports each step as the node's progress.
fn sampled(model: &Model, request: &SampleRequest, cx: &mut Cx) -> anyhow::Result<Latent> {
    let ready = model.ready(&cx.service::<Networks>()?)?;
    sample(&ready, request, &mut |step, total, denoised| {
        cx.preview(step + 1, || preview::jpeg(denoised, ready.latent_format))?;
        cx.progress(step + 1, total)
    })
}
