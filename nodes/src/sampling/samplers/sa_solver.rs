//! SA-Solver: Xue et al. (2023), arXiv:2309.05019: stochastic Adams method, predictor and corrector.

use anyhow::Result;
use tch::Tensor;

use super::Parameters;
use super::step::{lagrange_basis, lambda, steps};
use crate::sampling::denoise::Denoise;
use crate::sampling::noise::Noise;

const PREDICTOR_ORDER: usize = 3;
const CORRECTOR_ORDER: usize = 4;
/// The levels between which noise is added: 80 % and 20 % of SD1.x's schedule.
const NOISY: std::ops::RangeInclusive<f64> = 0.5711889266967773..=5.09240770339965;

/// Predict, correct, evaluate once per step.
pub(super) fn sa_solver(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[f64],
    p: &Parameters,
    noise: &mut dyn Noise,
) -> Result<Tensor> {
    solve(model, x, sigmas, p, noise, false)
}

/// Predict, evaluate, correct, evaluate.
pub(super) fn sa_solver_pece(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[f64],
    p: &Parameters,
    noise: &mut dyn Noise,
) -> Result<Tensor> {
    solve(model, x, sigmas, p, noise, true)
}

/// What the corrector takes over from the predictor of the step before.
struct Transition {
    tau: f64,
    noise: Option<Tensor>,
}

fn solve(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[f64],
    p: &Parameters,
    noise: &mut dyn Noise,
    evaluate_corrected: bool,
) -> Result<Tensor> {
    let count = sigmas.len();
    let lambdas: Vec<f64> = sigmas.iter().map(|&sigma| lambda(sigma)).collect();
    let falling_order = sigmas[count - 1] == 0.0;
    let (mut x, mut predicted) = (x.shallow_clone(), x);
    let mut history: Vec<Tensor> = Vec::new();
    let mut last = Transition { tau: 0.0, noise: None };
    for (i, sigma, next) in steps(sigmas) {
        let mut denoised = model.denoise(&predicted, sigma)?.denoised;
        model.on_step(i, count - 1, &denoised)?;
        history.push(denoised.shallow_clone());
        history.drain(..history.len().saturating_sub(CORRECTOR_ORDER));
        let corrects = i > 0 && (next > 0.0 || evaluate_corrected);
        let limit = |order: usize, left: usize| if falling_order { order.min(left) } else { order };
        let predictor = limit(PREDICTOR_ORDER.min(history.len()), count - 2 - i);
        let corrector = if corrects { limit(CORRECTOR_ORDER.min(history.len()), count - 1 - i) } else { 0 };
        if corrector == 0 {
            x = predicted;
        } else {
            let nodes = &lambdas[i + 1 - corrector..=i];
            x = adams_step(&x, &history, nodes, (sigmas[i - 1], sigma), last.tau);
            if let Some(noise) = &last.noise {
                x += noise;
            }
            if evaluate_corrected {
                denoised = model.denoise(&x, sigma)?.denoised;
                history.pop();
                history.push(denoised.shallow_clone());
            }
        }
        if next == 0.0 {
            predicted = denoised;
            continue;
        }
        last = transition(noise, sigma, next, p)?;
        let nodes = &lambdas[i + 1 - predictor..=i];
        predicted = adams_step(&x, &history, nodes, (sigma, next), last.tau);
        if let Some(noise) = &last.noise {
            predicted += noise;
        }
    }
    Ok(predicted)
}

fn transition(noise: &mut dyn Noise, sigma: f64, next: f64, p: &Parameters) -> Result<Transition> {
    let tau = if NOISY.contains(&next) { p.eta } else { 0.0 };
    if tau <= 0.0 || p.s_noise <= 0.0 {
        return Ok(Transition { tau, noise: None });
    }
    let h = lambda(next) - lambda(sigma);
    let level = next * (-(-2.0 * tau * tau * h).exp_m1()).sqrt() * p.s_noise;
    Ok(Transition { tau, noise: Some(noise.draw(sigma, next)? * level) })
}

/// The deterministic part of a step from σ to σ': (σ'/σ)·e^(−τ²h)·x + Σ bⱼDⱼ, with the newest denoised latents at
/// `nodes` in λ.
fn adams_step(x: &Tensor, history: &[Tensor], nodes: &[f64], (sigma, next): (f64, f64), tau: f64) -> Tensor {
    let h = lambda(next) - lambda(sigma);
    let mut sum = x * (next / sigma * (-tau * tau * h).exp());
    let newest = &history[history.len() - nodes.len()..];
    for (weight, denoised) in weights(nodes, lambda(sigma), lambda(next), tau).iter().zip(newest) {
        sum += denoised * *weight;
    }
    sum
}

/// bⱼ = m∫ e^(m(u−b)) ℓⱼ(u) du from a to b with m = 1 + τ² (equations 15 and 18), where ℓⱼ is the Lagrange polynomial
/// of the j-th node.
fn weights(nodes: &[f64], a: f64, b: f64, tau: f64) -> Vec<f64> {
    let m = 1.0 + tau * tau;
    let start = a - b;
    // Moments m∫ e^(mv) v^k dv from a − b to 0, by parts.
    let mut moments = vec![-(m * start).exp_m1()];
    for power in 1..nodes.len() {
        let previous = moments[power - 1];
        moments.push(-start.powi(power as i32) * (m * start).exp() - power as f64 / m * previous);
    }
    let shifted: Vec<f64> = nodes.iter().map(|node| node - b).collect();
    let integral = |polynomial: &Vec<f64>| polynomial.iter().zip(&moments).map(|(c, moment)| c * moment).sum();
    lagrange_basis(&shifted).iter().map(integral).collect()
}
