//! ER-SDE-Solver: Cui et al. (2023), arXiv:2309.06169, in variance-preserving data prediction.

use anyhow::Result;
use tch::Tensor;

use super::Parameters;
use super::step::steps;
use crate::sampling::denoise::Denoise;
use crate::sampling::noise::Noise;

/// Points of the numerical integration.
const POINTS: i32 = 200;

/// φ(σ): the paper's recommended noise scaling σ·(exp(σ^0.3) + 10), or a power of σ.
fn scaling(power: Option<f64>) -> impl Fn(f64) -> f64 {
    move |sigma| match power {
        None => sigma * (sigma.powf(0.3).exp() + 10.0),
        Some(power) => sigma.powf(power),
    }
}

/// Extended reverse-time stochastic solver of up to third order.
pub(super) fn er_sde(
    model: &mut dyn Denoise,
    mut x: Tensor,
    sigmas: &[f64],
    p: &Parameters,
    noise: &mut dyn Noise,
) -> Result<Tensor> {
    let scaled = scaling(p.scaling_power);
    let mut before: Option<Tensor> = None;
    let mut derivative_before: Option<Tensor> = None;
    for (i, sigma, next) in steps(sigmas) {
        let denoised = model.denoise(&x, sigma)?.denoised;
        model.on_step(i, sigmas.len() - 1, &denoised)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let r = scaled(next) / scaled(sigma);
        x = &x * r + &denoised * (1.0 - r);
        if let Some(before) = before.filter(|_| p.order >= 2) {
            let step = next - sigma;
            let width = -step / f64::from(POINTS);
            let integral = |weight: &dyn Fn(f64) -> f64| -> f64 {
                let levels = (0..POINTS).map(|k| next + f64::from(k) * width);
                levels.map(|level| weight(level) / scaled(level)).sum::<f64>() * width
            };
            let derivative = (&denoised - before) / (sigma - sigmas[i - 1]);
            x += &derivative * (step + integral(&|_| 1.0) * scaled(next));
            if let Some(derivative_before) = derivative_before.filter(|_| p.order >= 3) {
                let second = (&derivative - derivative_before) / ((sigma - sigmas[i - 2]) / 2.0);
                x += second * (step * step / 2.0 + integral(&|level| level - sigma) * scaled(next));
            }
            derivative_before = Some(derivative);
        }
        if p.s_noise > 0.0 {
            let variance = next * next - sigma * sigma * r * r;
            let level = if variance > 0.0 { variance.sqrt() } else { 0.0 };
            x += noise.draw(sigma, next)? * (p.s_noise * level);
        }
        before = Some(denoised);
    }
    Ok(x)
}
