//! What a sampling method is given.

use anyhow::Result;
use tch::Tensor;

use super::Parameters;
use crate::diffusion::real::Real;
use crate::sampling::denoise::{Denoise, Denoised};
use crate::sampling::noise::Noise;

/// A sampling method: takes the state `x` from the first of the run's noise levels to the last. A row of
/// [`SAMPLERS`](super::SAMPLERS) names it.
pub type Solve = fn(&mut SamplerRun, x: Tensor) -> Result<Tensor>;

/// One run of a sampling method.
pub struct SamplerRun<'a> {
    /// The denoiser: network, guidance and masks.
    pub model: &'a mut dyn Denoise,
    /// The source of the noise that the method adds.
    pub noise: &'a mut dyn Noise,
    /// The noise levels, two or more.
    pub sigmas: &'a [Real],
    /// What the sampler's nodes may set.
    pub parameters: &'a Parameters,
}

impl<'a> SamplerRun<'a> {
    /// The steps: number, level σ, next level σ'.
    pub fn steps(&self) -> impl Iterator<Item = (usize, Real, Real)> + use<'a> {
        self.sigmas.windows(2).enumerate().map(|(step, pair)| (step, pair[0], pair[1]))
    }

    /// The last noise level.
    pub fn last_level(&self) -> Real {
        self.sigmas[self.sigmas.len() - 1]
    }

    /// Denoises the state `x` at the level `sigma`.
    pub fn denoise(&mut self, x: &Tensor, sigma: Real) -> Result<Denoised> {
        self.model.denoise(x, sigma.into())
    }

    /// The first evaluation of a step: denoises `x` at the step's level, and reports the step.
    pub fn start_step(&mut self, step: usize, x: &Tensor) -> Result<Denoised> {
        let result = self.denoise(x, self.sigmas[step])?;
        self.report(step, &result.denoised)?;
        Ok(result)
    }

    /// Reports a step with what was denoised in it. An error, such as that of a cancelled run, ends the run.
    pub fn report(&mut self, step: usize, denoised: &Tensor) -> Result<()> {
        self.model.on_step(step, self.sigmas.len() - 1, denoised)
    }

    /// Unit noise for a step from the level `sigma` to `next`, shaped as the state.
    pub fn draw(&mut self, sigma: Real, next: Real) -> Result<Tensor> {
        self.noise.draw(sigma.into(), next.into())
    }
}
