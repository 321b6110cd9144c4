//! What the sampling nodes call: from a latent, prompts and settings to a sampled latent.

use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::control::Controls;
use super::denoise::{Denoise, OnStep};
use super::grounding::ReadyGrounding;
use super::guidance::{Batching, Guidance, Guide, Prompts};
use super::hooks::Levels;
use super::inpaint::{Inpaint, fitted_mask};
use super::noise::{initial_noise, no_noise, noise_source};
use super::ready::ReadyModel;
use super::regions::{Region, match_areas, share};
use super::samplers::Sampler;
use super::schedules::{Schedule, window};
use super::windowed::Windowed;
use crate::diffusion::extra_conds::CONTEXT;
use crate::diffusion::latent_format::LatentFormat;
use crate::diffusion::run_entry::RunEntry;
use crate::ops::noise::Stream;
use crate::values::{Conditioning, Grounding, Latent, Sigmas};

/// What the nodes KSampler and KSamplerAdvanced are given besides the model.
pub struct SampleRequest {
    /// Seed of all noise; its low 32 bits make the initial noise.
    pub seed: u64,
    /// Steps of the schedule, at least 1.
    pub steps: usize,
    /// Strength of the guidance; 1 leaves the negative prompts out.
    pub cfg: f64,
    /// The sampler.
    pub sampler: &'static Sampler,
    /// The schedule.
    pub schedule: &'static Schedule,
    /// What to show.
    pub positive: Conditioning,
    /// What to avoid.
    pub negative: Conditioning,
    /// What to start from.
    pub latent: Latent,
    /// The part of the schedule that is run, 0 to 1, counted from its clean end. KSamplerAdvanced: 1.
    pub denoise: f64,
    /// Whether noise is added at the start. KSampler: true.
    pub add_noise: bool,
    /// The first step that is run. KSampler: `None`.
    pub start_at_step: Option<usize>,
    /// The step before which it ends. KSampler: `None`.
    pub end_at_step: Option<usize>,
    /// Whether a run that ends early jumps to a clean latent in its last step instead of keeping the leftover noise.
    pub force_full_denoise: bool,
    /// How prompts share calls of the network.
    pub batching: Batching,
}

/// What a sampling run on explicit noise levels is given besides the model (SamplerCustom, and what [`sample`] comes down to).
pub struct SigmasRequest<'a> {
    /// Seed of the sampler's own noise.
    pub seed: u64,
    /// The initial noise, shaped as the latent, float32 on the CPU.
    pub noise: Tensor,
    /// The generator that the initial noise came from.
    pub stream: Stream,
    /// What to show, what to avoid, and how strongly.
    pub guide: &'a Guide,
    /// The sampler.
    pub sampler: &'a Sampler,
    /// The noise levels. With none, the latent stays as it is.
    pub sigmas: &'a Sigmas,
    /// What to start from, with the model's number of channels.
    pub latent: &'a Latent,
    /// How prompts share calls of the network.
    pub batching: Batching,
}

/// Samples a latent as the nodes KSampler and KSamplerAdvanced do.
///
/// The result carries the latent's mask and batch indices on. A start at or behind the last step, and a denoise of 0,
/// give the latent back as it was. Errors: a latent of the wrong shape, settings that make no schedule, whatever the
/// network or `on_step` fail with.
pub fn sample(model: &ReadyModel, request: &SampleRequest, on_step: &mut OnStep) -> Result<Latent> {
    let latent = &request.latent.with_samples(fitted_channels(&request.latent.samples, model.latent_format)?);
    let discard = request.sampler.discards_penultimate;
    let sigmas = request.schedule.for_ksampler(&model.sampling, request.steps, request.denoise, discard)?;
    let Some(sigmas) = window(&sigmas, request.start_at_step, request.end_at_step, request.force_full_denoise) else {
        return Ok(latent.clone());
    };
    let mut stream = Stream::seeded(request.seed);
    let shape = latent.samples.size();
    let noise = if request.add_noise { initial_noise(latent, &shape, &mut stream)? } else { no_noise(&shape) };
    let explicit = SigmasRequest {
        seed: request.seed,
        noise,
        stream,
        guide: &Guide::cfg(&request.positive, &request.negative, request.cfg),
        sampler: request.sampler,
        sigmas: &sigmas,
        latent,
        batching: request.batching,
    };
    sample_sigmas(model, &explicit, on_step)
}

/// Samples on explicit noise levels. The result carries the latent's mask and batch indices on; its samples are in VAE units,
/// float32 on the CPU.
pub fn sample_sigmas(model: &ReadyModel, request: &SigmasRequest, on_step: &mut OnStep) -> Result<Latent> {
    let sigmas: Vec<f64> = request.sigmas.0.iter().copied().map(f64::from).collect();
    let Some(&first) = sigmas.first() else { return Ok(request.latent.clone()) };
    let (device, format, sampling) = (model.network.device(), model.latent_format, &*model.sampling);
    let shape = request.latent.samples.size();
    ensure!(
        request.noise.size() == shape,
        "the noise is shaped {:?} and the latent {shape:?}: give one batch_index for each image of the latent",
        request.noise.size()
    );
    let noise = model.hooks.noise(&request.noise.to_device(device), request.seed)?;
    let latent = format.in_network_scale(&request.latent.samples.to_device(device));
    let mask = request.latent.noise_mask.as_ref().map(|mask| fitted_mask(mask, &shape, device)).transpose()?;
    let mut stream = request.stream.clone();
    let fresh_noise = request.sampler.fresh_mask_noise.then(|| {
        stream = Stream::seeded(request.seed.wrapping_add(1));
        stream.normal(&shape).to_device(device)
    });
    let hooks = model.hooks.begun(stream.clone(), &request.latent.memories);
    let controls = Controls::new(&*model.controls, sampling, device);
    let ready = |conditioning: &Conditioning, list: &str| {
        let mut regions = ready(model, conditioning, list, request.seed, &latent, mask.as_ref())?;
        for (region, entry) in regions.iter_mut().zip(&conditioning.0) {
            region.control = entry.control.as_ref().map(|control| controls.ready(control)).transpose()?;
            region.grounding = entry.grounding.as_ref().map(|given| ready_grounding(model, given)).transpose()?;
        }
        Ok(regions)
    };
    let mut guidance = Guidance {
        prompts: Prompts {
            network: &*model.network,
            sampling,
            batching: request.batching,
            windowed: hooks.windows().map(|windows| Windowed { windows, sigmas: &sigmas }),
            reuse: hooks.reuse(),
        },
        rule: request.guide.rule,
        lists: regions(request.guide, &ready)?,
        hooks: &hooks,
        always_negative: request.sampler.needs_uncond || hooks.need_uncond(),
        ready: &ready,
        on_step: &mut |step, total, denoised| on_step(step, total, denoised),
    };
    let x = sampling.noised(&latent, &noise, first as f32);
    let mut draws = noise_source(request.sampler.noise, request.seed, &stream, &x, &sigmas)?;
    let mut inpaint;
    let denoiser: &mut dyn Denoise = match &mask {
        None => &mut guidance,
        Some(mask) => {
            let noise = (!model.network.takes_known_clean()).then(|| fresh_noise.unwrap_or(noise));
            let levels = Levels { sampling, sigmas: &sigmas };
            let latent = latent.shallow_clone();
            inpaint =
                Inpaint { inner: &mut guidance, mask: mask.shallow_clone(), latent, noise, hooks: &hooks, levels };
            &mut inpaint
        }
    };
    let sampler = request.sampler.for_model(sampling);
    let sampled = sampler.run(denoiser, x, &sigmas, draws.as_mut())?;
    let last = sampler.end(&sigmas) as f32;
    let samples = format.in_vae_units(&sampling.unfaded(sampled, last));
    let memories = request.latent.memories.with(hooks.memories());
    Ok(Latent { memories, ..request.latent.with_samples(samples) })
}

fn ready_grounding(model: &ReadyModel, given: &Rc<Grounding>) -> Result<Rc<ReadyGrounding>> {
    Ok(Rc::new(ReadyGrounding { network: (model.grounders)(given)?, given: given.clone() }))
}

/// Prompts made ready for a run's latents.
fn ready(
    model: &ReadyModel,
    conditioning: &Conditioning,
    list: &str,
    seed: u64,
    latent: &Tensor,
    noise_mask: Option<&Tensor>,
) -> Result<Vec<Region>> {
    let size = latent.size();
    let plane = (size[size.len() - 2], size[size.len() - 1]);
    let mut regions = Region::resolve_all(conditioning, plane, model.network.device(), &model.sampling)?;
    for (region, entry) in regions.iter_mut().zip(&conditioning.0) {
        let prompt = RunEntry { entry, list, latent, noise_mask, latent_format: model.latent_format, seed };
        let (extra, context) = (model.extra_conds)(&prompt)?.without(CONTEXT);
        region.extra = extra;
        if let Some(context) = context {
            region.context = context.to_device(model.network.device());
        }
    }
    Ok(regions)
}

/// Makes prompts of a list ready for a run's latents.
pub(super) type Ready<'a> = dyn Fn(&Conditioning, &str) -> Result<Vec<Region>> + 'a;

/// A guide's prompts, made ready, with equal areas in all lists.
fn regions(guide: &Guide, ready: &Ready) -> Result<Vec<Vec<Region>>> {
    let named = guide.conditionings.iter().zip(guide.names());
    let resolved = named.map(|(list, name)| ready(list, name).with_context(|| format!("in the {name} conditioning")));
    let mut lists = resolved.collect::<Result<Vec<_>>>()?;
    match_areas(&mut lists);
    share(&mut lists, guide.names())?;
    Ok(lists)
}

/// The latent with the network's number of channels and dimensions: an all-zero one is repeated along the channels, a picture becomes
/// a video of one frame for a network of videos. An error for any other latent that does not fit.
pub fn fitted_channels(samples: &Tensor, format: &LatentFormat) -> Result<Tensor> {
    let size = samples.size();
    let dimensions = if format.video { "frames x height x width" } else { "height x width" };
    ensure!(
        (size.len() == 4 || (format.video && size.len() == 5)) && samples.numel() > 0,
        "the latent is shaped {size:?}, but a latent is batch x channels x {dimensions} and not empty"
    );
    let with_frames = |samples: Tensor| if format.video && size.len() == 4 { samples.unsqueeze(2) } else { samples };
    if size[1] == format.channels {
        return Ok(with_frames(samples.to_kind(Kind::Float)));
    }
    ensure!(
        samples.count_nonzero(None::<i64>).int64_value(&[]) == 0,
        "the latent has {} channels and the model takes {}: use a latent made for this model",
        size[1],
        format.channels
    );
    let mut shape = size.clone();
    shape[1] = format.channels;
    Ok(with_frames(Tensor::zeros(shape, (Kind::Float, Device::Cpu))))
}

#[cfg(test)]
#[path = "ksampler_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "ksampler_golden.rs"]
mod golden;
