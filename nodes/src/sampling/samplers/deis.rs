//! DEIS: Zhang and Chen (2022), arXiv:2204.13902, in the form tAB.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::adams::multistep;
use super::run::SamplerRun;
use crate::diffusion::real::Real;

/// Points of the numerical integration.
const POINTS: i64 = 10_000;

/// Exponential integration with the slopes interpolated by a polynomial in the time t of a variance-preserving process.
pub(super) fn deis(run: &mut SamplerRun, x: Tensor) -> Result<Tensor> {
    let sigmas = run.sigmas;
    let process = Process::new(sigmas[0].kind());
    let times: Vec<Real> = sigmas.iter().map(|&sigma| process.time(sigma)).collect();
    multistep(run, x, |x, step| {
        let i = step.i;
        if step.slopes.len() == 1 || step.ends() {
            return x + &step.slopes[0] * (step.sigmas[i + 1] - step.sigmas[i]);
        }
        let nodes: Vec<Real> = (0..step.slopes.len()).map(|j| times[i - j]).collect();
        let terms = step.slopes.iter().zip(process.weights(&nodes, times[i + 1]));
        terms.fold(x.shallow_clone(), |x, (slope, weight)| x + slope * weight)
    })
}

/// The variance-preserving process with β(t) = β₀ + β_d·t that has σ(0.001) = 0.002 and σ(1) = 80.
struct Process {
    beta_d: f64,
    beta_0: f64,
}

impl Process {
    fn new(kind: Kind) -> Process {
        // ln(σ² + 1) at both ends. In float32 the value at the lower end is 1.3 % off, as in ComfyUI.
        let low = if kind == Kind::Double { 4e-6f64.ln_1p() } else { 4.053_107_204_526_896e-6 };
        let high = 6401f64.ln();
        let beta_d = 2.0 * (low / 1e-3 - high) / (1e-3 - 1.0);
        Process { beta_d, beta_0: high - 0.5 * beta_d }
    }

    fn time(&self, sigma: Real) -> Real {
        let root = (self.beta_0.powi(2) + 2.0 * self.beta_d * (sigma.powf(2.0) + 1.0).ln()).sqrt();
        (root - self.beta_0) / self.beta_d
    }

    /// ∫ from the first node to `next` of dσ/dt·ℓⱼ(t) dt for each node's Lagrange polynomial ℓⱼ.
    fn weights(&self, nodes: &[Real], next: Real) -> Vec<Real> {
        let times = Tensor::linspace(nodes[0], next, POINTS, (next.kind(), Device::Cpu));
        let width = (next - nodes[0]) / POINTS as f64;
        let beta_span = self.beta_d + self.beta_0 - self.beta_0;
        let alpha_bar = (times.square() * -0.5 * beta_span - &times * self.beta_0).exp();
        // d ln ᾱ/dt, computed as reverse-mode differentiation of these operations does, for the sake of its rounding.
        let one = alpha_bar.reciprocal() * &alpha_bar;
        let decay = &one * beta_span * -0.5 * (&times * 2.0) - one * self.beta_0;
        let growth = decay * -0.5 / (&alpha_bar * (1f64 - &alpha_bar)).sqrt();
        let weight = |own: usize| {
            let mut polynomial = times.ones_like();
            for (_, &node) in nodes.iter().enumerate().filter(|&(other, _)| other != own) {
                polynomial *= (&times - node) / (nodes[own] - node);
            }
            Real::of(&(&growth * polynomial).sum(next.kind())) * width
        };
        (0..nodes.len()).map(weight).collect()
    }
}
