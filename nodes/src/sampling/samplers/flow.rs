//! Flow models, whose states mix noise and picture: x = (1−σ)·clean + σ·noise, with σ from 0 to 1.
//!
//! Deterministic methods in σ work on these states as they are. Methods in λ run on x/(1−σ) at the level σ/(1−σ), which
//! is a state of the usual form. Ancestral methods have forms of their own.

use anyhow::Result;
use tch::Tensor;

use super::run::{SamplerRun, Solve};
use super::step::{lambda, level, slope};
use crate::diffusion::real::Real;
use crate::sampling::denoise::{Denoise, Denoised};
use crate::sampling::noise::Noise;

/// How a sampler samples flow models.
#[derive(Debug, Clone, Copy)]
pub enum OnFlow {
    /// As other models.
    Same,
    /// With the same method, on the states x/(1−σ). There is none at σ = 1, which is replaced by a level just below.
    Unmixed,
    /// With a method of its own.
    Own(Solve),
}

/// The level that replaces 1 for the CFG++ methods, instead of the model's own.
const ALMOST_ONE: f64 = 1.0 - 1e-6;

/// Runs a method on the states x/(1−σ). A first level of 1 is replaced by `first`.
pub(super) fn unmixed(solve: Solve, run: &mut SamplerRun, x: Tensor, first: f64) -> Result<Tensor> {
    let mut sigmas: Vec<f64> = run.sigmas.iter().map(|sigma| sigma.value()).collect();
    if sigmas[0] >= 1.0 {
        sigmas[0] = if run.parameters.cfg_pp { ALMOST_ONE } else { first };
    }
    // In float64, so that converting the levels back and forth loses nothing.
    let levels: Vec<Real> = sigmas.iter().map(|sigma| Real::Double(unmixed_level(*sigma))).collect();
    let mut unmixed = SamplerRun {
        model: &mut Unmixed(run.model),
        noise: &mut UnmixedNoise(run.noise),
        sigmas: &levels,
        parameters: run.parameters,
    };
    let last = solve(&mut unmixed, x / (1.0 - sigmas[0]))?;
    Ok(last * (1.0 - sigmas[sigmas.len() - 1]))
}

/// σ/(1−σ).
pub(super) fn unmixed_level(sigma: f64) -> f64 {
    sigma / (1.0 - sigma)
}

/// The σ of a flow model at which the proportion of noise to picture is `level`.
fn mixed_level(level: f64) -> f64 {
    level / (1.0 + level)
}

struct Unmixed<'a>(&'a mut dyn Denoise);

impl Denoise for Unmixed<'_> {
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Denoised> {
        self.0.denoise(&(x / (1.0 + sigma)), mixed_level(sigma))
    }

    fn on_step(&mut self, step: usize, total: usize, denoised: &Tensor) -> Result<()> {
        self.0.on_step(step, total, denoised)
    }
}

struct UnmixedNoise<'a>(&'a mut dyn Noise);

impl Noise for UnmixedNoise<'_> {
    fn draw(&mut self, sigma: f64, next: f64) -> Result<Tensor> {
        self.0.draw(mixed_level(sigma), mixed_level(next))
    }
}

/// Splits a step into a step to σ_down and noise up to σ'. Returns (σ_down, factor on the state, factor on the noise).
fn renoising(sigma: Real, next: Real, eta: f64) -> (Real, Real, Real) {
    let down = next * (1.0 + (next / sigma - 1.0) * eta);
    let kept = (1.0 - next) / (1.0 - down);
    (down, kept, (next.powf(2.0) - (down * kept).powf(2.0)).max(next * 0.0).sqrt())
}

/// Euler's method with ancestral noise.
pub(super) fn euler_ancestral(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let (down, kept, added) = renoising(sigma, next, p.eta);
        x = x * (down / sigma) + denoised * (1.0 - down / sigma);
        if p.eta > 0.0 {
            x = x * kept + run.draw(sigma, next)? * (p.s_noise * added);
        }
    }
    Ok(x)
}

/// The midpoint method with ancestral noise.
pub(super) fn dpm_2_ancestral(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        let (down, kept, added) = renoising(sigma, next, p.eta);
        let d = slope(&x, sigma, &denoised);
        if down == 0.0 {
            x = &x + d * (down - sigma);
            continue;
        }
        let middle = level(lambda(sigma).lerp(lambda(down), 0.5));
        let x2 = &x + d * (middle - sigma);
        let d2 = slope(&x2, middle, &run.denoise(&x2, middle)?.denoised);
        x = (&x + d2 * (down - sigma)) * kept + run.draw(sigma, next)? * (p.s_noise * added);
    }
    Ok(x)
}

/// DPM-Solver++(2S) with ancestral noise.
pub(super) fn dpmpp_2s_ancestral(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    /// The position of the second evaluation in a step from pure noise.
    const BELOW_ONE: f64 = 0.9999;
    let time = |sigma: Real| ((1.0 - sigma) / sigma).ln();
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        let (down, kept, added) = renoising(sigma, next, p.eta);
        if next == 0.0 {
            x = &x + slope(&x, sigma, &denoised) * (down - sigma);
            continue;
        }
        let middle = if sigma == 1.0 {
            sigma * BELOW_ONE
        } else {
            let (t, end) = (time(sigma), time(down));
            1.0 / ((t + 0.5 * (end - t)).exp() + 1.0)
        };
        let x2 = &x * (middle / sigma) + &denoised * (1.0 - middle / sigma);
        let second = run.denoise(&x2, middle)?.denoised;
        x = x * (down / sigma) + second * (1.0 - down / sigma);
        if p.eta > 0.0 {
            x = x * kept + run.draw(sigma, next)? * (p.s_noise * added);
        }
    }
    Ok(x)
}

/// Multistep consistency sampling: denoises fully in each step, then mixes with noise to the next level.
pub(super) fn lcm(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    for (i, sigma, next) in run.steps() {
        x = run.start_step(i, &x)?.denoised;
        if next > 0.0 {
            x = run.draw(sigma, next)? * next + x * (1.0 - next);
        }
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renoising_keeps_the_proportions() {
        // The result has a share 1−σ' of the clean latent and σ' of noise.
        let split = |eta| {
            let (down, kept, added) = renoising(Real::Double(0.8), Real::Double(0.5), eta);
            (down.value(), kept.value(), added.value())
        };
        let (down, kept, added) = split(1.0);
        assert!((down - 0.3125).abs() < 1e-15);
        assert!(((1.0 - down) * kept - 0.5).abs() < 1e-15);
        assert!(((down * kept).hypot(added) - 0.5).abs() < 1e-15);
        assert_eq!(split(0.0), (0.5, 1.0, 0.0));
    }
}
