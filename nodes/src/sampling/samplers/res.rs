//! The second-order multistep method of "refined exponential solvers": Zhang et al. (2023), arXiv:2308.02157.

use anyhow::Result;
use tch::Tensor;

use super::run::SamplerRun;
use super::step::{ancestral_split, lambda, slope};
use crate::diffusion::real::Real;

/// RES multistep to σ_down, then noise. In CFG++ form U replaces D, and D − U is added to the state.
pub(super) fn res_multistep(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    // The prediction of the last step, its level, and its σ_down.
    let mut before: Option<(Tensor, Real, Real)> = None;
    for (i, sigma, next) in run.steps() {
        let result = run.start_step(i, &x)?;
        let (down, up) = ancestral_split(sigma, next, p.eta);
        let base = if p.cfg_pp { &result.uncond } else { &result.denoised };
        x = match &before {
            Some((base_before, sigma_before, down_before)) if down > 0.0 => {
                let h = lambda(down) - lambda(sigma);
                let c2 = (lambda(*sigma_before) - lambda(*down_before)) / h;
                let phi_1 = (-h).exp_m1() / -h;
                let phi_2 = (phi_1 - 1.0) / -h;
                let (b1, b2) = ((phi_1 - phi_2 / c2).or_zero(), (phi_2 / c2).or_zero());
                let state = if p.cfg_pp { &x + (&result.denoised - &result.uncond) } else { x };
                state * (-h).exp() + (base * b1 + base_before * b2) * h
            }
            _ if p.cfg_pp => &result.denoised + slope(&x, sigma, base) * down,
            _ => &x + slope(&x, sigma, base) * (down - sigma),
        };
        if next > 0.0 && p.eta > 0.0 {
            x += run.draw(sigma, next)? * p.s_noise * up;
        }
        before = Some((base.shallow_clone(), sigma, down));
    }
    Ok(x)
}
