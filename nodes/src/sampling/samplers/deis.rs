//! DEIS: Zhang and Chen (2022), arXiv:2204.13902, in the form tAB.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::Parameters;
use super::adams::multistep;
use super::step::scalar;
use crate::sampling::denoise::Denoise;
use crate::sampling::noise::Noise;

/// Points of the numerical integration.
const POINTS: i64 = 10_000;

/// Exponential integration with the slopes interpolated by a polynomial in the time t of a variance-preserving process.
pub(super) fn deis(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[f64],
    p: &Parameters,
    _: &mut dyn Noise,
) -> Result<Tensor> {
    let process = Process::new(if x.kind() == Kind::Float { Kind::Float } else { Kind::Double });
    let times: Vec<f64> = sigmas.iter().map(|&sigma| process.time(sigma)).collect();
    multistep(model, x, sigmas, p.order, |step| {
        let i = step.i;
        if step.order == 1 {
            return vec![step.sigmas[i + 1] - step.sigmas[i]];
        }
        let nodes: Vec<f64> = (0..step.order).map(|j| times[i - j]).collect();
        process.weights(&nodes, times[i + 1])
    })
}

/// The variance-preserving process with β(t) = β₀ + β_d·t that has σ(0.001) = 0.002 and σ(1) = 80.
///
/// Everything is computed in the state's precision with libtorch's operations, because in float32 the small σ² + 1
/// round by more than the method's own error.
struct Process {
    beta_d: Tensor,
    beta_0: Tensor,
    kind: Kind,
}

impl Process {
    fn new(kind: Kind) -> Process {
        let log = |sigma: f64| (scalar(sigma, kind).square() + 1.0).log();
        let (low, high) = (log(0.002), log(80.0));
        let beta_d: Tensor = (low / 1e-3 - &high) * 2.0 / (1e-3 - 1.0);
        let beta_0 = high - &beta_d * 0.5;
        Process { beta_d, beta_0, kind }
    }

    fn time(&self, sigma: f64) -> f64 {
        let log = (scalar(sigma, self.kind).square() + 1.0).log();
        let root = (self.beta_0.square() + &self.beta_d * 2.0 * log).sqrt();
        ((root - &self.beta_0) / &self.beta_d).double_value(&[])
    }

    /// ∫ from the first node to `next` of dσ/dt·ℓⱼ(t) dt for each node's Lagrange polynomial ℓⱼ.
    fn weights(&self, nodes: &[f64], next: f64) -> Vec<f64> {
        let times = Tensor::linspace(nodes[0], next, POINTS, (self.kind, Device::Cpu));
        let width = (scalar(next, self.kind) - nodes[0]) / POINTS as f64;
        let beta_span = &self.beta_d + &self.beta_0 - &self.beta_0;
        let alpha_bar = (times.square() * -0.5 * &beta_span - &times * &self.beta_0).exp();
        let growth = (&times * &self.beta_d + &self.beta_0) * 0.5 / (&alpha_bar * (1f64 - &alpha_bar)).sqrt();
        let weight = |own: usize| {
            let mut polynomial = times.ones_like();
            for (_, &node) in nodes.iter().enumerate().filter(|&(other, _)| other != own) {
                polynomial = polynomial * (&times - node) / (scalar(nodes[own], self.kind) - node);
            }
            let sum: Tensor = (&growth * polynomial).sum(self.kind) * &width;
            sum.double_value(&[])
        };
        (0..nodes.len()).map(weight).collect()
    }
}
