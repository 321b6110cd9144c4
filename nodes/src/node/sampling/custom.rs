//! What the nodes SamplerCustom and SamplerCustomAdvanced have in common.

use redraft_engine::Outputs;
use redraft_engine::cx::Cx;

use crate::networks::Networks;
use crate::recipes::Guider;
use crate::sampling::guidance::Batching;
use crate::sampling::ksampler::{SigmasRequest, fitted_channels, sample_sigmas};
use crate::sampling::preview;
use crate::sampling::samplers::Sampler;
use crate::values::{Latent, NoiseChoice, Sigmas};

/// The outputs of both nodes.
#[derive(Outputs)]
pub(super) struct Sampled {
    /// The latent at the last noise level.
    #[output(name = "output")]
    output: Latent,
    /// The denoised latent that the model predicted in the last step.
    #[output(name = "denoised_output")]
    denoised_output: Latent,
}

/// The inputs of both nodes. `seed` is for the noise that the sampler adds.
pub(super) struct Custom {
    pub(super) guider: Guider,
    pub(super) noise: NoiseChoice,
    pub(super) seed: u64,
    pub(super) sampler: Sampler,
    pub(super) sigmas: Sigmas,
    pub(super) latent: Latent,
}

impl Custom {
    /// Samples, and reports each step as the node's progress.
    pub(super) fn run(self, cx: &mut Cx) -> anyhow::Result<Sampled> {
        let model = self.guider.model.ready(&cx.service::<Networks>()?)?;
        let format = model.latent_format;
        let latent = self.latent.with_samples(fitted_channels(&self.latent.samples, format)?);
        let (noise, stream) = self.noise.draw(&latent)?;
        let request = SigmasRequest {
            seed: self.seed,
            noise,
            stream,
            guide: &self.guider.guide,
            sampler: &self.sampler,
            sigmas: &self.sigmas,
            latent: &latent,
            batching: Batching::Together,
        };
        let mut last = None;
        let output = sample_sigmas(&model, &request, &mut |step, total, denoised| {
            last = Some(denoised.shallow_clone());
            cx.preview(step + 1, || preview::jpeg(denoised, format))?;
            cx.progress(step + 1, total)
        })?;
        let denoised = last.map(|denoised| format.in_vae_units(&denoised));
        Ok(Sampled {
            denoised_output: denoised.map_or_else(|| output.clone(), |denoised| output.with_samples(denoised)),
            output,
        })
    }
}
