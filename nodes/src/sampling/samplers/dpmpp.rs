//! DPM-Solver++: Lu et al. (2022), arXiv:2211.01095, in data prediction, and its stochastic forms.

use anyhow::Result;
use tch::Tensor;

use super::Form;
use super::run::SamplerRun;
use super::step::{alpha, ancestral_split, lambda, level, slope};
use crate::diffusion::real::Real;

/// DPM-Solver++(2S) to σ_down, then noise: an evaluation at the middle of λ. In CFG++ form D − U is added to the state
/// first.
pub(super) fn dpmpp_2s(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    for (i, sigma, next) in run.steps() {
        let first = run.start_step(i, &x)?;
        let (down, up) = ancestral_split(sigma, next, p.eta);
        x = if down == 0.0 && p.cfg_pp {
            first.denoised
        } else if down == 0.0 {
            &x + slope(&x, sigma, &first.denoised) * (down - sigma)
        } else {
            let (t, end) = (lambda(sigma), lambda(down));
            let h = end - t;
            let middle = level(t + h * 0.5);
            let shift = |x: &Tensor, uncond: &Tensor| if p.cfg_pp { x + (&first.denoised - uncond) } else { x + 0.0 };
            let x2 = shift(&x, &first.uncond) * (middle / level(t)) - &first.denoised * (-h * 0.5).exp_m1();
            let second = run.denoise(&x2, middle)?;
            shift(&x, &second.uncond) * (level(end) / level(t)) - second.denoised * (-h).exp_m1()
        };
        if next > 0.0 && p.eta > 0.0 {
            x = &x + run.draw(sigma, next)? * p.s_noise * up;
        }
    }
    Ok(x)
}

/// DPM-Solver++(2M): second order from the last two denoised latents.
pub(super) fn dpmpp_2m(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let mut before: Option<(Tensor, Real)> = None;
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        let (t, end) = (lambda(sigma), lambda(next));
        let h = end - t;
        let toward = match &before {
            Some((before, h_before)) if next > 0.0 => {
                let weight = 1.0 / (2.0 * (*h_before / h));
                &denoised * (1.0 + weight) - before * weight
            }
            _ => denoised.shallow_clone(),
        };
        x = &x * (level(end) / level(t)) - toward * (-h).exp_m1();
        before = Some((denoised, h));
    }
    Ok(x)
}

/// DPM-Solver++(2M) in CFG++ form.
pub(super) fn dpmpp_2m_cfg_pp(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let mut before: Option<(Tensor, Real)> = None;
    for (i, sigma, next) in run.steps() {
        let result = run.start_step(i, &x)?;
        let h = lambda(next) - lambda(sigma);
        let mut away = &result.uncond * -(-h).exp();
        if let Some((uncond_before, h_before)) = before
            && next > 0.0
        {
            away -= (&result.denoised - uncond_before) * ((-h).exp_m1() * (1.0 / (2.0 * (h_before / h))));
        }
        x = &result.denoised + away + x * (-h).exp();
        before = Some((result.uncond, h));
    }
    Ok(x)
}

/// DPM-Solver++(S), stochastic, with a second evaluation at `r` of the step in λ. Noise is added before and after it.
pub(super) fn dpmpp_sde(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    let weight = 1.0 / (2.0 * p.r);
    let noisy = p.eta > 0.0 && p.s_noise > 0.0;
    for (i, sigma, next) in run.steps() {
        let first = run.start_step(i, &x)?.denoised;
        if next == 0.0 {
            x = first;
            continue;
        }
        let (t, end) = (lambda(sigma), lambda(next));
        let inner = t + p.r * (end - t);
        let middle = level(inner);
        let (down, up) = ancestral_split(level(t), middle, p.eta);
        let h = lambda(down) - t;
        let (from, inside, to) = (alpha(sigma, t), alpha(middle, inner), alpha(next, end));
        let mut x2 = &x * (inside / from * (-h).exp()) - &first * (inside * (-h).exp_m1());
        if noisy {
            x2 += run.draw(sigma, middle)? * inside * p.s_noise * up;
        }
        let second = run.denoise(&x2, middle)?.denoised;
        let (down, up) = ancestral_split(level(t), level(end), p.eta);
        let h = lambda(down) - t;
        let toward = first * (1.0 - weight) + second * weight;
        x = &x * (to / from * (-h).exp()) - toward * (to * (-h).exp_m1());
        if noisy {
            x += run.draw(sigma, next)? * to * p.s_noise * up;
        }
    }
    Ok(x)
}

/// The noise that the stochastic multistep methods add from σ to σ'.
fn multistep_noise(run: &mut SamplerRun, sigma: Real, next: Real) -> Result<Option<Tensor>> {
    let p = run.parameters;
    if p.eta <= 0.0 || p.s_noise <= 0.0 {
        return Ok(None);
    }
    let h = lambda(next) - lambda(sigma);
    let spread = (-(-2.0 * h * p.eta).exp_m1()).sqrt();
    Ok(Some(run.draw(sigma, next)? * next * spread * p.s_noise))
}

/// DPM-Solver++(2M) SDE, in the forms midpoint and Heun.
pub(super) fn dpmpp_2m_sde(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    let mut before: Option<(Tensor, Real)> = None;
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let h = lambda(next) - lambda(sigma);
        let h_eta = h * (p.eta + 1.0);
        let (gain, to) = (-(-h_eta).exp_m1(), alpha(next, lambda(next)));
        x = &x * (next / sigma * (-h * p.eta).exp()) + &denoised * (to * gain);
        if let Some((before, h_before)) = before {
            let weight = match p.form {
                Form::First => 0.5 * to * gain,
                Form::Second => to * (gain / (-h_eta) + 1.0),
            };
            x += (&denoised - before) * (weight * (1.0 / (h_before / h)));
        }
        if let Some(noise) = multistep_noise(run, sigma, next)? {
            x += noise;
        }
        before = Some((denoised, h));
    }
    Ok(x)
}

/// DPM-Solver++(3M) SDE: third order from the last three denoised latents.
pub(super) fn dpmpp_3m_sde(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    // The earlier denoised latents with the steps in λ that followed them, newest first.
    let mut history: Vec<(Tensor, Real)> = Vec::new();
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let h = lambda(next) - lambda(sigma);
        let h_eta = h * (p.eta + 1.0);
        let to = alpha(next, lambda(next));
        x = &x * (next / sigma * (-h * p.eta).exp()) + &denoised * (to * -(-h_eta).exp_m1());
        let phi_2 = (-h_eta).exp_m1() / h_eta + 1.0;
        match history.as_slice() {
            [(one, h1), (two, h2), ..] => {
                let (r0, r1) = (*h1 / h, *h2 / h);
                let d1_0 = (&denoised - one) / r0;
                let d1_1 = (one - two) / r1;
                let bend = &d1_0 - d1_1;
                let d1 = d1_0 + &bend * r0 / (r0 + r1);
                let d2 = bend / (r0 + r1);
                let phi_3 = phi_2 / h_eta - 0.5;
                x = x + d1 * (to * phi_2) - d2 * (to * phi_3);
            }
            [(one, h1)] => x += (&denoised - one) / (*h1 / h) * (to * phi_2),
            [] => (),
        }
        if let Some(noise) = multistep_noise(run, sigma, next)? {
            x += noise;
        }
        history.insert(0, (denoised, h));
        history.truncate(2);
    }
    Ok(x)
}
