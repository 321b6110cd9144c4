//! What the sampling nodes call: from a latent, prompts and settings to a sampled latent.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::denoise::{Denoise, OnStep};
use super::extra_channels::extra_channels;
use super::guidance::{Batching, Guidance, Guide, Prompts};
use super::hooks::{Hooks, Levels};
use super::inpaint::{Inpaint, fitted_mask};
use super::noise::{initial_noise, no_noise, noise_source};
use super::regions::{Region, match_areas};
use super::samplers::Sampler;
use super::schedules::{Schedule, window};
use super::windowed::Windowed;
use crate::diffusion::latent_format::LatentFormat;
use crate::diffusion::network::Network;
use crate::diffusion::parameterisation::Parameterisation;
use crate::ops::noise::Stream;
use crate::values::memories::Memories;
use crate::values::{Conditioning, Latent, Sigmas};

/// What the nodes KSampler and KSamplerAdvanced are given.
pub struct SampleRequest<'a> {
    /// The network.
    pub network: &'a dyn Network,
    /// What its output means.
    pub sampling: &'a Parameterisation,
    /// What is changed about how it is sampled.
    pub hooks: &'a Hooks,
    /// Seed of all noise; its low 32 bits make the initial noise.
    pub seed: u64,
    /// Steps of the schedule, at least 1.
    pub steps: usize,
    /// Strength of the guidance; 1 leaves the negative prompts out.
    pub cfg: f64,
    /// The sampler.
    pub sampler: &'a Sampler,
    /// The schedule.
    pub schedule: &'a Schedule,
    /// What to show.
    pub positive: &'a Conditioning,
    /// What to avoid.
    pub negative: &'a Conditioning,
    /// What to start from.
    pub latent: &'a Latent,
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

/// What a sampling run on explicit noise levels is given (SamplerCustom and what [`sample`] comes down to).
pub struct SigmasRequest<'a> {
    /// The network.
    pub network: &'a dyn Network,
    /// What its output means.
    pub sampling: &'a Parameterisation,
    /// What is changed about how it is sampled.
    pub hooks: &'a Hooks,
    /// Seed of the sampler's own noise.
    pub seed: u64,
    /// The initial noise, shaped as the latent, float32 on the CPU.
    pub noise: &'a Tensor,
    /// The generator that the initial noise came from.
    pub stream: Stream,
    /// What to show, what to avoid, and how strongly.
    pub guide: &'a Guide,
    /// The sampler.
    pub sampler: &'a Sampler,
    /// The noise levels. With none, the latent stays as it is.
    pub sigmas: &'a Sigmas,
    /// What to start from: B×C×h×w, with the network's number of channels.
    pub samples: &'a Tensor,
    /// Where to paint.
    pub noise_mask: Option<&'a Tensor>,
    /// What guidance remembers of the runs before.
    pub memories: &'a Memories,
    /// How prompts share calls of the network.
    pub batching: Batching,
}

/// Samples a latent as the nodes KSampler and KSamplerAdvanced do.
///
/// The result carries the latent's mask and batch places on. A start at or behind the last step, and a denoise of 0,
/// give the latent back as it was. Errors: a latent of the wrong shape, settings that make no schedule, whatever the
/// network or `on_step` fail with.
pub fn sample(request: &SampleRequest, on_step: &mut OnStep) -> Result<Latent> {
    let samples = fitted_channels(&request.latent.samples, request.network.latent_format())?;
    let discard = request.sampler.discards_penultimate;
    let sigmas = request.schedule.for_ksampler(request.sampling, request.steps, request.denoise, discard)?;
    let Some(sigmas) = window(&sigmas, request.start_at_step, request.end_at_step, request.force_full_denoise) else {
        return Ok(request.latent.with_samples(samples));
    };
    let mut stream = Stream::seeded(request.seed);
    let noise = if request.add_noise {
        initial_noise(request.latent, &samples.size(), &mut stream)?
    } else {
        no_noise(&samples.size())
    };
    let explicit = SigmasRequest {
        network: request.network,
        sampling: request.sampling,
        hooks: request.hooks,
        seed: request.seed,
        noise: &noise,
        stream,
        guide: &Guide::cfg(request.positive, request.negative, request.cfg),
        sampler: request.sampler,
        sigmas: &sigmas,
        samples: &samples,
        noise_mask: request.latent.noise_mask.as_ref(),
        memories: &request.latent.memories,
        batching: request.batching,
    };
    let (samples, memories) = sample_sigmas(&explicit, on_step)?;
    Ok(Latent { memories, ..request.latent.with_samples(samples) })
}

/// Samples on explicit noise levels. Returns B×C×h×w in VAE units, float32 on the CPU, and what guidance remembers.
pub fn sample_sigmas(request: &SigmasRequest, on_step: &mut OnStep) -> Result<(Tensor, Memories)> {
    let sigmas: Vec<f64> = request.sigmas.0.iter().copied().map(f64::from).collect();
    let Some(&first) = sigmas.first() else {
        return Ok((request.samples.shallow_clone(), request.memories.clone()));
    };
    let (device, format) = (request.network.device(), request.network.latent_format());
    let shape = request.samples.size();
    ensure!(
        request.noise.size() == shape,
        "the noise is shaped {:?} and the latent {shape:?}: give one batch place for each image of the latent",
        request.noise.size()
    );
    let noise = request.hooks.noise(&request.noise.to_device(device), request.seed)?;
    let latent = format.in_network_scale(&request.samples.to_device(device));
    let mask = request.noise_mask.map(|mask| fitted_mask(mask, &shape, device)).transpose()?;
    let mut stream = request.stream.clone();
    let fresh_noise = request.sampler.fresh_mask_noise.then(|| {
        stream = Stream::seeded(request.seed.wrapping_add(1));
        stream.normal(&shape).to_device(device)
    });
    let hooks = request.hooks.begun(stream.clone(), request.memories);
    let ready = |conditioning: &Conditioning| ready(request, conditioning, &latent, mask.as_ref());
    let mut guidance = Guidance {
        prompts: Prompts {
            network: request.network,
            sampling: request.sampling,
            batching: request.batching,
            windowed: hooks.windows().map(|windows| Windowed { windows, sigmas: &sigmas }),
        },
        rule: request.guide.rule,
        lists: regions(request.guide, &ready)?,
        hooks: &hooks,
        always_negative: request.sampler.needs_uncond || hooks.need_uncond(),
        ready: &ready,
        on_step: &mut |step, total, denoised| on_step(step, total, denoised),
    };
    let x = request.sampling.noised(&latent, &noise, first as f32);
    let mut draws = noise_source(request.sampler.noise, request.seed, &stream, &x, &sigmas)?;
    let mut inpaint;
    let model: &mut dyn Denoise = match &mask {
        None => &mut guidance,
        Some(mask) => {
            let noise = fresh_noise.unwrap_or(noise);
            let levels = Levels { sampling: request.sampling, sigmas: &sigmas };
            let latent = latent.shallow_clone();
            inpaint =
                Inpaint { inner: &mut guidance, mask: mask.shallow_clone(), latent, noise, hooks: &hooks, levels };
            &mut inpaint
        }
    };
    let sampler = request.sampler.for_model(request.sampling);
    let sampled = sampler.run(model, x, &sigmas, draws.as_mut())?;
    let last = sampler.end(&sigmas) as f32;
    Ok((format.in_vae_units(&request.sampling.unfaded(sampled, last)), request.memories.with(hooks.memories())))
}

/// Prompts made ready for a request's latents.
fn ready(
    request: &SigmasRequest,
    conditioning: &Conditioning,
    latent: &Tensor,
    mask: Option<&Tensor>,
) -> Result<Vec<Region>> {
    let (_, _, height, width) = latent.size4()?;
    let (device, format) = (request.network.device(), request.network.latent_format());
    let mut regions = Region::resolve_all(conditioning, (height, width), device, request.sampling)?;
    if let Some(beside) = request.network.beside() {
        for (region, entry) in regions.iter_mut().zip(&conditioning.0) {
            region.extra_channels = Some(extra_channels(beside, entry, mask, latent, format)?);
        }
    }
    Ok(regions)
}

/// A guide's prompts, made ready, with equal areas in all lists.
fn regions(guide: &Guide, ready: &dyn Fn(&Conditioning) -> Result<Vec<Region>>) -> Result<Vec<Vec<Region>>> {
    let named = guide.conditionings.iter().zip(guide.names());
    let resolved = named.map(|(list, name)| ready(list).with_context(|| format!("in the {name} conditioning")));
    let mut lists = resolved.collect::<Result<Vec<_>>>()?;
    match_areas(&mut lists);
    Ok(lists)
}

/// The latent with the network's number of channels: an all-zero one is repeated along them. An error for any other
/// latent that does not fit.
pub fn fitted_channels(samples: &Tensor, format: LatentFormat) -> Result<Tensor> {
    let size = samples.size();
    ensure!(
        size.len() == 4 && samples.numel() > 0,
        "the latent is shaped {size:?}, but a latent is batch x channels x height x width and not empty"
    );
    if size[1] == format.channels {
        return Ok(samples.to_kind(Kind::Float));
    }
    ensure!(
        samples.count_nonzero(None::<i64>).int64_value(&[]) == 0,
        "the latent has {} channels and the model takes {}: use a latent made for this model",
        size[1],
        format.channels
    );
    Ok(Tensor::zeros([size[0], format.channels, size[2], size[3]], (Kind::Float, Device::Cpu)))
}

#[cfg(test)]
#[path = "ksampler_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "ksampler_golden.rs"]
mod golden;
