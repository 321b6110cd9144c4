//! SEEDS: Gonzalez et al. (2023), arXiv:2305.14267: exponential integrators without derivatives, stochastic, in
//! variance-preserving data prediction.

use anyhow::Result;
use tch::Tensor;

use super::Form;
use super::run::SamplerRun;
use super::step::{alpha, lambda, level};
use crate::diffusion::real::Real;

/// h·φ₂(h) = (eʰ − 1 − h)/h.
fn h_phi_2(h: Real) -> Real {
    (h.exp_m1() - h) / h
}

/// The noise accumulated since the start of a step. Each stage keeps a part of it and adds a fresh draw, so that all
/// stages see the noise of one process.
struct StageNoise {
    total: Option<Tensor>,
}

impl StageNoise {
    /// Advances from `sigma` to the level `next`, by a `share` of the whole step `h` in λ (≥ 0). Returns the noise to
    /// be added to the state there.
    fn advance(
        &mut self,
        run: &mut SamplerRun,
        sigma: Real,
        next: Real,
        share: f64,
        h: Real,
    ) -> Result<Option<Tensor>> {
        let p = run.parameters;
        if p.eta <= 0.0 || p.s_noise <= 0.0 {
            return Ok(None);
        }
        let decay = -share * h * p.eta;
        let fresh = run.draw(sigma, next)? * (-(2.0 * decay).exp_m1()).sqrt();
        let total = match &self.total {
            Some(total) => total * decay.exp() + fresh,
            None => fresh,
        };
        let scaled = &total * next * p.s_noise;
        self.total = Some(total);
        Ok(Some(scaled))
    }
}

fn with_noise(x: Tensor, noise: Option<Tensor>) -> Tensor {
    match noise {
        Some(noise) => x + noise,
        None => x,
    }
}

/// SEEDS-2; with r = 1 and φ₂ the exponential Heun method.
pub(super) fn seeds_2(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    let (r, eta) = (p.r, p.eta);
    for (i, sigma, next) in run.steps() {
        let first = run.start_step(i, &x)?.denoised;
        if next == 0.0 {
            x = first;
            continue;
        }
        let mut noise = StageNoise { total: None };
        let (t, end) = (lambda(sigma), lambda(next));
        let h = end - t;
        let h_eta = h * (eta + 1.0);
        let inner = t.lerp(end, r);
        let (middle, to) = (level(inner), alpha(next, end));
        let inside = alpha(middle, inner);
        let x2 = &x * (middle / sigma * (-r * h * eta).exp()) - &first * (inside * (-r * h_eta).exp_m1());
        let x2 = with_noise(x2, noise.advance(run, sigma, middle, r, h)?);
        let second = run.denoise(&x2, middle)?.denoised;
        let kept = &x * (next / sigma * (-h * eta).exp());
        x = match p.form {
            Form::First => {
                let weight = 1.0 / (2.0 * r);
                kept - first.lerp(&second, weight) * (to * (-h_eta).exp_m1())
            }
            Form::Second => {
                let b2 = h_phi_2(-h_eta) / r;
                let b1 = (-h_eta).exp_m1() - b2;
                kept - (first * b1 + second * b2) * to
            }
        };
        x = with_noise(x, noise.advance(run, middle, next, 1.0 - r, h)?);
    }
    Ok(x)
}

/// SEEDS-3, with inner levels at 1/3 and 2/3.
pub(super) fn seeds_3(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    let (r1, r2, eta) = (1.0 / 3.0, 2.0 / 3.0, p.eta);
    for (i, sigma, next) in run.steps() {
        let first = run.start_step(i, &x)?.denoised;
        if next == 0.0 {
            x = first;
            continue;
        }
        let mut noise = StageNoise { total: None };
        let (t, end) = (lambda(sigma), lambda(next));
        let h = end - t;
        let h_eta = h * (eta + 1.0);
        let (t1, t2) = (t.lerp(end, r1), t.lerp(end, r2));
        let (sigma1, sigma2) = (level(t1), level(t2));
        let (alpha1, alpha2, to) = (alpha(sigma1, t1), alpha(sigma2, t2), alpha(next, end));
        let kept = |r: f64, level: Real| &x * (level / sigma * (-r * h * eta).exp());

        let x2 = kept(r1, sigma1) - &first * (alpha1 * (-r1 * h_eta).exp_m1());
        let x2 = with_noise(x2, noise.advance(run, sigma, sigma1, r1, h)?);
        let second = run.denoise(&x2, sigma1)?.denoised;

        let a2 = r2 / r1 * h_phi_2(-r2 * h_eta);
        let a1 = (-r2 * h_eta).exp_m1() - a2;
        let x3 = kept(r2, sigma2) - (&first * a1 + second * a2) * alpha2;
        let x3 = with_noise(x3, noise.advance(run, sigma1, sigma2, r2 - r1, h)?);
        let third = run.denoise(&x3, sigma2)?.denoised;

        let b3 = h_phi_2(-h_eta) / r2;
        let b1 = (-h_eta).exp_m1() - b3;
        let last = kept(1.0, next) - (&first * b1 + third * b3) * to;
        x = with_noise(last, noise.advance(run, sigma2, next, 1.0 - r2, h)?);
    }
    Ok(x)
}
