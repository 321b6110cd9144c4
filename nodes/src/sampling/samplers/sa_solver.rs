//! SA-Solver: Xue et al. (2023), arXiv:2309.05019: stochastic Adams method, predictor and corrector.

use anyhow::Result;
use tch::Tensor;

use super::Parameters;
use super::step::{lagrange_basis, lambda, steps};
use crate::sampling::denoise::Denoise;
use crate::sampling::noise::Noise;

/// The levels between which noise is added where nothing else is set: 20 % and 80 % of SD1.x's schedule.
const NOISY: (f64, f64) = (5.092_408_180_236_816, 0.571_188_867_092_132_6);

/// What the corrector takes over from the predictor of the step before.
struct Transition {
    tau: f64,
    noise: Option<Tensor>,
}

/// Predict, correct, evaluate once per step; or predict, evaluate, correct, evaluate.
pub(super) fn sa_solver(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[f64],
    p: &Parameters,
    noise: &mut dyn Noise,
) -> Result<Tensor> {
    let settings = &p.adams;
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
        history.drain(..history.len().saturating_sub(settings.predictor.max(settings.corrector)));
        let corrects = i > 0 && (next > 0.0 || settings.evaluate_corrected);
        let limit = |order: usize, left: usize| if falling_order { order.min(left) } else { order };
        let predictor = limit(settings.predictor.min(history.len()), count - 2 - i);
        let corrector = if corrects { limit(settings.corrector.min(history.len()), count - 1 - i) } else { 0 };
        if corrector == 0 {
            x = predicted;
        } else {
            let nodes = &lambdas[i + 1 - corrector..=i];
            let span = (sigmas[i - 1], sigma);
            let weights = match settings.simple && corrector == 2 {
                true => simple_corrector(span, last.tau),
                false => weights(nodes, lambda(span.0), lambda(span.1), last.tau),
            };
            x = adams_step(&x, &history, &weights, span, last.tau);
            if let Some(noise) = &last.noise {
                x += noise;
            }
            if settings.evaluate_corrected {
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
        let weights = match settings.simple && predictor == 2 {
            true => simple_predictor(nodes, (sigma, next), last.tau),
            false => weights(nodes, lambda(sigma), lambda(next), last.tau),
        };
        predicted = adams_step(&x, &history, &weights, (sigma, next), last.tau);
        if let Some(noise) = &last.noise {
            predicted += noise;
        }
    }
    Ok(predicted)
}

fn transition(noise: &mut dyn Noise, sigma: f64, next: f64, p: &Parameters) -> Result<Transition> {
    let (highest, lowest) = p.adams.noisy.unwrap_or(NOISY);
    let tau = if highest >= next && next >= lowest { p.eta.max(0.0) } else { 0.0 };
    if tau <= 0.0 || p.s_noise <= 0.0 {
        return Ok(Transition { tau, noise: None });
    }
    let h = lambda(next) - lambda(sigma);
    let level = next * (-(-2.0 * tau * tau * h).exp_m1()).sqrt() * p.s_noise;
    Ok(Transition { tau, noise: Some(noise.draw(sigma, next)? * level) })
}

/// The deterministic part of a step from σ to σ': (σ'/σ)·e^(−τ²h)·x + Σ bⱼDⱼ, with weights for the newest denoised
/// latents.
fn adams_step(x: &Tensor, history: &[Tensor], weights: &[f64], (sigma, next): (f64, f64), tau: f64) -> Tensor {
    let h = lambda(next) - lambda(sigma);
    let mut sum = x * (next / sigma * (-tau * tau * h).exp());
    let newest = &history[history.len() - weights.len()..];
    for (weight, denoised) in weights.iter().zip(newest) {
        sum += denoised * *weight;
    }
    sum
}

/// The two-step predictor of the paper's appendix D.
fn simple_predictor(nodes: &[f64], (sigma, next): (f64, f64), tau: f64) -> Vec<f64> {
    let (m, h) = (1.0 + tau * tau, lambda(next) - lambda(sigma));
    let older = 0.5 * m * h * h / (nodes[nodes.len() - 2] - lambda(sigma));
    vec![older, -(-h * m).exp_m1() - older]
}

/// The one-step corrector of the paper's appendix D.
fn simple_corrector((sigma, next): (f64, f64), tau: f64) -> Vec<f64> {
    let (m, h) = (1.0 + tau * tau, lambda(next) - lambda(sigma));
    let newer = 0.5 * m * h;
    vec![-(-h * m).exp_m1() - newer, newer]
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
