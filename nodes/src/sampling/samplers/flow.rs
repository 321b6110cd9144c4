//! Flow models, whose states mix noise and picture: x = (1−σ)·clean + σ·noise, with σ from 0 to 1.
//!
//! A deterministic method needs nothing here. Those in λ run on x/(1−σ) at σ/(1−σ), which is a state of the usual form;
//! ancestral ones have forms of their own.

use anyhow::Result;
use tch::Tensor;

use super::run::{SamplerRun, Solve};
use super::step::{lambda, level, slope};
use crate::diffusion::real::Real;
use crate::sampling::denoise::{Denoise, Denoised};
use crate::sampling::noise::Noise;

/// What a sampler does for a flow model.
#[derive(Debug, Clone, Copy)]
pub enum OnFlow {
    /// What it does for others.
    Same,
    /// The same on the state x/(1−σ). At σ = 1 there is none: the level just below takes its place.
    Unmixed,
    /// Something else.
    Own(Solve),
}

/// What stands for a level of 1 where the state x/(1−σ) is needed in a method that is not offset by the model.
const ALMOST_ONE: f64 = 1.0 - 1e-6;

/// Runs a method on the states x/(1−σ). A first level of 1 becomes `first`.
pub(super) fn unmixed(solve: Solve, run: &mut SamplerRun, x: Tensor, first: f64) -> Result<Tensor> {
    let mut sigmas: Vec<f64> = run.sigmas.iter().map(|sigma| sigma.value()).collect();
    if sigmas[0] >= 1.0 {
        sigmas[0] = if run.parameters.cfg_pp { ALMOST_ONE } else { first };
    }
    // In float64, so that the way to these levels and back loses nothing.
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

/// The level of a flow where noise and picture are in the proportion `level`.
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

/// A step to σ_down, then noise back up to σ': (σ_down, factor on the state, factor on the noise).
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
    /// The middle of a step from pure noise.
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

/// Multistep consistency sampling: denoise fully, then mix with noise to the next level.
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
        // Of the clean part 1−σ' is left, of the noise σ' in all.
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
