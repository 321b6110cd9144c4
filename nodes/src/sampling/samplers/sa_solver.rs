//! SA-Solver: Xue et al. (2023), arXiv:2309.05019: stochastic Adams method, predictor and corrector.

use anyhow::Result;
use tch::{Device, Tensor};

use super::run::SamplerRun;
use super::step::{alpha, lambda};
use crate::diffusion::real::{Real, vector};

/// The default levels between which noise is added: 20 % and 80 % of SD1.x's schedule.
const NOISY: (f64, f64) = (5.092_408_180_236_816, 0.571_188_867_092_132_6);

/// The τ and the noise of a step. Its predictor uses them, and so does the corrector after it.
struct Transition {
    tau: f64,
    noise: Option<Tensor>,
}

/// Each step corrects the last prediction and predicts the next, with one evaluation. With `evaluate_corrected` the
/// corrected state is evaluated, too.
pub(super) fn sa_solver(run: &mut SamplerRun, x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    let sigmas = run.sigmas;
    let settings = &p.adams;
    let count = sigmas.len();
    let lambdas: Vec<Real> = sigmas.iter().map(|&sigma| lambda(sigma)).collect();
    let falling_order = sigmas[count - 1] == 0.0;
    let (mut x, mut predicted) = (x.shallow_clone(), x);
    let mut history: Vec<Tensor> = Vec::new();
    let mut last = Transition { tau: 0.0, noise: None };
    for (i, sigma, next) in run.steps() {
        let mut denoised = run.start_step(i, &predicted)?.denoised;
        history.push(denoised.shallow_clone());
        history.drain(..history.len().saturating_sub(settings.predictor.max(settings.corrector)));
        let corrects = i > 0 && (next > 0.0 || settings.evaluate_corrected);
        let limit = |order: usize, left: usize| if falling_order { order.min(left) } else { order };
        let predictor = limit(settings.predictor.min(history.len()), count - 2 - i);
        let corrector = if corrects { limit(settings.corrector.min(history.len()), count - 1 - i) } else { 0 };
        if corrector == 0 {
            x = predicted;
        } else {
            let step =
                AdamsStep { nodes: &lambdas[i + 1 - corrector..=i], sigma: sigmas[i - 1], next: sigma, tau: last.tau };
            let weights = if settings.simple && corrector == 2 { step.simple_corrector() } else { step.weights() };
            x = step.taken(&x, &history, &weights);
            if let Some(noise) = &last.noise {
                x += noise;
            }
            if settings.evaluate_corrected {
                denoised = run.denoise(&x, sigma)?.denoised;
                history.pop();
                history.push(denoised.shallow_clone());
            }
        }
        if next == 0.0 {
            predicted = denoised;
            continue;
        }
        last = transition(run, sigma, next)?;
        let step = AdamsStep { nodes: &lambdas[i + 1 - predictor..=i], sigma, next, tau: last.tau };
        let weights = if settings.simple && predictor == 2 { step.simple_predictor() } else { step.weights() };
        predicted = step.taken(&x, &history, &weights);
        if let Some(noise) = &last.noise {
            predicted += noise;
        }
    }
    Ok(predicted)
}

fn transition(run: &mut SamplerRun, sigma: Real, next: Real) -> Result<Transition> {
    let p = run.parameters;
    let (highest, lowest) = p.adams.noisy.unwrap_or(NOISY);
    let tau = if next <= highest && next >= lowest { p.eta.max(0.0) } else { 0.0 };
    if tau <= 0.0 || p.s_noise <= 0.0 {
        return Ok(Transition { tau, noise: None });
    }
    let h = lambda(next) - lambda(sigma);
    let spread = (-(-2.0 * tau * tau * h).exp_m1()).sqrt();
    Ok(Transition { tau, noise: Some(run.draw(sigma, next)? * next * spread * p.s_noise) })
}

/// The deterministic part of a step from σ to σ', computed from the denoised latents at the nodes λⱼ.
struct AdamsStep<'a> {
    nodes: &'a [Real],
    sigma: Real,
    next: Real,
    tau: f64,
}

impl AdamsStep<'_> {
    fn h(&self) -> Real {
        lambda(self.next) - lambda(self.sigma)
    }

    /// 1 + τ².
    fn m(&self) -> f64 {
        1.0 + self.tau.powi(2)
    }

    /// (σ'/σ)·e^(−τ²h)·x + Σ bⱼDⱼ, where the weights b belong to the newest denoised latents.
    fn taken(&self, x: &Tensor, history: &[Tensor], weights: &Tensor) -> Tensor {
        let newest = Tensor::stack(&history[history.len() - weights.numel()..], 1);
        let weights = weights.to_kind(newest.kind()).to_device(newest.device());
        let sum = newest.tensordot(&weights, [1], [0]);
        x * (self.next / self.sigma * (-self.tau.powi(2) * self.h()).exp()) + sum
    }

    /// The two-step predictor of the paper's appendix D.
    fn simple_predictor(&self) -> Tensor {
        let (m, h) = (self.m(), self.h());
        let to = alpha(self.next, lambda(self.next));
        let older = to * (0.5 * m * h.powf(2.0)) / (self.nodes[self.nodes.len() - 2] - lambda(self.sigma));
        vector(&[older, to * -(-h * m).exp_m1() - older])
    }

    /// The one-step corrector of the paper's appendix D.
    fn simple_corrector(&self) -> Tensor {
        let (m, h) = (self.m(), self.h());
        let to = alpha(self.next, lambda(self.next));
        let newer = to * (0.5 * m * h);
        vector(&[to * -(-h * m).exp_m1() - newer, newer])
    }

    /// bⱼ = m∫ e^(m(u−b)) ℓⱼ(u) du from a = λ to b = λ' with m = 1 + τ² (equations 15 and 18), where ℓⱼ is the Lagrange
    /// polynomial of the j-th node: the solution of Σ bⱼλⱼᵖ = m∫ e^(m(u−b)) uᵖ du for all powers p below the number of
    /// nodes. Where nodes are close to each other, this system is so ill-conditioned that only the same operations give
    /// ComfyUI's weights.
    fn weights(&self) -> Tensor {
        let (a, b) = (lambda(self.sigma), lambda(self.next));
        let count = self.nodes.len() as i64;
        let powers = Tensor::arange(count, (a.kind(), Device::Cpu));
        let ends = b.tensor().pow(&powers) - a.tensor().pow(&powers) * (-self.m() * (b - a)).exp();
        let equations = Tensor::vander(&vector(self.nodes), count, true).transpose(0, 1);
        let solution = Tensor::linalg_solve(&equations, &(by_parts(&powers, self.m()).matmul(&ends)), true);
        solution * alpha(self.next, b)
    }
}

/// Integration by parts as a matrix. Row p has (−1)^(p−q)·(p!/q!)/m^(p−q) for q up to p. Applied to the differences of
/// eᵐᵘ·u^q between the ends of an interval, it gives m∫ eᵐᵘ·uᵖ du over the interval.
fn by_parts(powers: &Tensor, m: f64) -> Tensor {
    let differences = |values: &Tensor| values.unsqueeze(1) - values.unsqueeze(0);
    let depth = differences(powers);
    let mut log = differences(&(powers + 1.0).lgamma());
    if m > 1.0 {
        log -= &depth * m.ln();
    }
    let signs = depth.remainder(2.0).eq(0.0).to_kind(powers.kind()) * 2.0 - 1.0;
    (log.exp() * signs).tril(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    /// m∫ e^(m(u−b)) uᵖ du, numerically.
    fn moment(a: f64, b: f64, m: f64, power: i32) -> f64 {
        const POINTS: i32 = 100_000;
        let width = (b - a) / f64::from(POINTS);
        let value = |k: i32| {
            let u = a + (f64::from(k) + 0.5) * width;
            m * (m * (u - b)).exp() * u.powi(power)
        };
        (0..POINTS).map(value).sum::<f64>() * width
    }

    #[test]
    fn weights_integrate_polynomials_exactly() {
        let double = |value: f64| Real::new(value, Kind::Double);
        for tau in [0.0, 0.8] {
            let nodes = [-2.0, -1.1, -0.7].map(double);
            let step = AdamsStep { nodes: &nodes, sigma: double(0.7f64.exp()), next: double(0.4f64.exp()), tau };
            let weights = Vec::<f64>::try_from(&step.weights()).unwrap_or_default();
            assert_eq!(weights.len(), 3);
            for power in 0..3 {
                let sum: f64 = weights.iter().zip(nodes).map(|(w, node)| w * node.value().powi(power)).sum();
                let expected = moment(-0.7, -0.4, 1.0 + tau * tau, power);
                assert!((sum - expected).abs() < 1e-9, "power {power}: {sum}, not {expected}");
            }
        }
    }
}
