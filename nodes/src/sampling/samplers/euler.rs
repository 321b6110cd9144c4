//! Methods of first order.

use anyhow::Result;
use tch::Tensor;

use super::run::SamplerRun;
use super::step::{alpha, ancestral_split, lambda, slope};

/// Euler's method on the probability flow: Karras et al. (2022), arXiv:2206.00364, algorithm 2 without churn. DDIM
/// (Song et al. 2020, arXiv:2010.02502) is the same step.
pub(super) fn euler(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        x = &x + slope(&x, sigma, &denoised) * (next - sigma);
    }
    Ok(x)
}

/// Euler's method with ancestral noise: a step to σ_down, then noise back up to σ'.
pub(super) fn euler_ancestral(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        let (down, up) = ancestral_split(sigma, next, p.eta);
        x = if down == 0.0 {
            denoised
        } else {
            let d = slope(&x, sigma, &denoised);
            &x + d * (down - sigma) + run.draw(sigma, next)? * p.s_noise * up
        };
    }
    Ok(x)
}

/// Euler's method in CFG++ form (Chung et al. 2024, arXiv:2406.08070): x = D + σ_down·(x − U)/σ, plus ancestral noise
/// with `eta` above 0.
pub(super) fn euler_cfg_pp(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    for (i, sigma, next) in run.steps() {
        let result = run.start_step(i, &x)?;
        if next == 0.0 {
            x = result.denoised;
            continue;
        }
        let (from, to) = (alpha(sigma, lambda(sigma)), alpha(next, lambda(next)));
        let (down, up) = ancestral_split(sigma / from, next / to, p.eta);
        x = result.denoised * to + slope(&x, sigma, &(result.uncond * from)) * (to * down);
        if p.eta > 0.0 && p.s_noise > 0.0 {
            x += run.draw(sigma, next)? * to * p.s_noise * up;
        }
    }
    Ok(x)
}

/// Euler's method with the slope (x − D + (U − D))/σ, in which guidance counts twice.
pub(super) fn euler_pp(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    for (i, sigma, next) in run.steps() {
        let result = run.start_step(i, &x)?;
        let shifted = &x - &result.denoised + result.uncond;
        x = &x + slope(&shifted, sigma, &result.denoised) * (next - sigma);
    }
    Ok(x)
}

/// Ancestral sampling of Ho et al. (2020), arXiv:2006.11239, algorithm 2, on the variance-preserving state
/// y = x/√(1+σ²).
pub(super) fn ddpm(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        let alpha_bar = 1.0 / (sigma * sigma + 1.0);
        let alpha_bar_next = 1.0 / (next * next + 1.0);
        let alpha = alpha_bar / alpha_bar_next;
        let y = &x / (1.0 + sigma * sigma).sqrt();
        let epsilon = slope(&x, sigma, &denoised);
        x = (y - epsilon * (1.0 - alpha) / (1.0 - alpha_bar).sqrt()) * (1.0 / alpha).sqrt();
        if next > 0.0 {
            let spread = ((1.0 - alpha) * (1.0 - alpha_bar_next) / (1.0 - alpha_bar)).sqrt();
            x = (x + run.draw(sigma, next)? * spread) * (1.0 + next * next).sqrt();
        }
    }
    Ok(x)
}

/// Multistep consistency sampling (Song et al. 2023, arXiv:2303.01469; Luo et al. 2023, arXiv:2310.04378): denoises
/// fully in each step, then adds noise of the next level.
pub(super) fn lcm(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    for (i, sigma, next) in run.steps() {
        x = run.start_step(i, &x)?.denoised;
        if next > 0.0 {
            x = run.draw(sigma, next)? * next + x;
        }
    }
    Ok(x)
}

/// Euler's method with the slope corrected by its last change: Permenter and Yuan (2023), arXiv:2306.04848, with γ = 2.
pub(super) fn gradient_estimation(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    const GAMMA: f64 = 2.0;
    let mut before: Option<Tensor> = None;
    for (i, sigma, next) in run.steps() {
        let result = run.start_step(i, &x)?;
        let d = slope(&x, sigma, if p.cfg_pp { &result.uncond } else { &result.denoised });
        if next == 0.0 {
            x = result.denoised;
        } else {
            x = if p.cfg_pp { result.denoised + &d * next } else { &x + &d * (next - sigma) };
            if let Some(before) = before {
                x += (GAMMA - 1.0) * (&d - before) * (next - sigma);
            }
        }
        before = Some(d);
    }
    Ok(x)
}
