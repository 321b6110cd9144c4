//! ER-SDE-Solver: Cui et al. (2023), arXiv:2309.06169, in variance-preserving data prediction.

use anyhow::Result;
use tch::{Device, Tensor};

use super::run::SamplerRun;
use super::step::{lambda, level};
use crate::diffusion::real::Real;

/// Points of the numerical integration.
const POINTS: i64 = 200;

/// φ(σ): the paper's recommended noise scaling σ·(exp(σ^0.3) + 10), or a power of σ.
fn scaling(power: Option<f64>) -> impl Fn(&Tensor) -> Tensor {
    move |sigma| match power {
        None => sigma * (sigma.pow_tensor_scalar(0.3).exp() + 10.0),
        Some(power) => sigma.pow_tensor_scalar(power),
    }
}

/// Extended reverse-time stochastic solver of up to third order.
pub(super) fn er_sde(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    let sigmas = run.sigmas;
    let scaled = scaling(p.scaling_power);
    // The levels computed from λ, as in ComfyUI. Their rounding matters, because differences of close levels are taken.
    let levels: Vec<Real> = sigmas.iter().map(|&sigma| level(lambda(sigma))).collect();
    let mut before: Option<Tensor> = None;
    let mut derivative_before: Option<Tensor> = None;
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let (from, to) = (levels[i], levels[i + 1]);
        let r = to.map(&scaled) / from.map(&scaled);
        let alpha = next / to;
        x = &x * (alpha / (sigma / from) * r) + &denoised * (alpha * (1.0 - r));
        if let Some(before) = before.filter(|_| p.order >= 2) {
            let step = to - from;
            let width = -step / POINTS as f64;
            let points = Tensor::arange(POINTS, (step.kind(), Device::Cpu)) * width + to.tensor();
            let integral = |weight: Tensor| Real::of(&(weight / scaled(&points)).sum(step.kind())) * width;
            let derivative = (&denoised - before) / (from - levels[i - 1]);
            x += &derivative * (alpha * (step + integral(points.ones_like()) * to.map(&scaled)));
            if let Some(derivative_before) = derivative_before.filter(|_| p.order >= 3) {
                let second = (&derivative - derivative_before) / ((from - levels[i - 2]) / 2.0);
                x += second * (alpha * (step.powf(2.0) / 2.0 + integral(&points - from) * to.map(&scaled)));
            }
            derivative_before = Some(derivative);
        }
        if p.s_noise > 0.0 {
            let level = (to.powf(2.0) - from.powf(2.0) * r.powf(2.0)).sqrt().or_zero();
            x += run.draw(sigma, next)? * alpha * p.s_noise * level;
        }
        before = Some(denoised);
    }
    Ok(x)
}
