//! Linear multistep methods: Adams-Bashforth on the slopes dx/dσ.

use std::collections::VecDeque;

use anyhow::Result;
use tch::{Scalar, Tensor};

use super::Parameters;
use super::step::{slope, steps};
use crate::sampling::denoise::Denoise;
use crate::sampling::noise::Noise;
use crate::sampling::real::Real;

/// A step of a multistep method: its index, the levels, what it starts from, and the slopes that it may use, newest first
/// (1 up to the order).
pub(super) struct Step<'a> {
    pub(super) i: usize,
    pub(super) sigmas: &'a [Real],
    pub(super) slopes: &'a VecDeque<Tensor>,
    denoised: &'a Tensor,
}

impl Step<'_> {
    /// Whether it is the step to 0.
    pub(super) fn ends(&self) -> bool {
        self.sigmas[self.i + 1] == 0.0
    }

    /// Σ cⱼ·dᵢ₋ⱼ.
    fn weighted(&self, weights: impl IntoIterator<Item = impl Into<Scalar>>) -> Tensor {
        let terms = self.slopes.iter().zip(weights).map(|(slope, weight)| slope * weight);
        terms.reduce(|sum, term| sum + term).unwrap_or_else(|| self.slopes[0].zeros_like())
    }

    /// The width of the step that lies `back` steps behind this one.
    fn width(&self, back: usize) -> Real {
        self.sigmas[self.i + 1 - back] - self.sigmas[self.i - back]
    }
}

/// The common loop: `advance` takes a state through a step.
pub(super) fn multistep(
    model: &mut dyn Denoise,
    mut x: Tensor,
    sigmas: &[Real],
    order: usize,
    advance: impl Fn(&Tensor, &Step) -> Tensor,
) -> Result<Tensor> {
    let mut slopes: VecDeque<Tensor> = VecDeque::new();
    for (i, sigma, _) in steps(sigmas) {
        let denoised = model.denoise(&x, sigma.into())?.denoised;
        model.on_step(i, sigmas.len() - 1, &denoised)?;
        slopes.push_front(slope(&x, sigma, &denoised));
        slopes.truncate(order.max(1));
        x = advance(&x, &Step { i, sigmas, slopes: &slopes, denoised: &denoised });
    }
    Ok(x)
}

/// Linear multistep: the slopes are interpolated by a polynomial in σ, which is integrated exactly.
pub(super) fn lms(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[Real],
    p: &Parameters,
    _: &mut dyn Noise,
) -> Result<Tensor> {
    multistep(model, x, sigmas, p.order, |x, step| {
        if step.ends() {
            return step.denoised.shallow_clone();
        }
        // Shifted to σ, for the sake of rounding; in float64, as ComfyUI's quadrature is.
        let from_here = |place: usize| step.sigmas[place].value() - step.sigmas[step.i].value();
        let nodes: Vec<f64> = (0..step.slopes.len()).map(|j| from_here(step.i - j)).collect();
        let end = from_here(step.i + 1);
        let integral = |polynomial: &Vec<f64>| -> f64 {
            polynomial.iter().zip(1..).map(|(c, power)| c * end.powi(power) / f64::from(power)).sum()
        };
        x + step.weighted(lagrange_basis(&nodes).iter().map(integral))
    })
}

/// For each node the coefficients (constant first) of the Lagrange polynomial that is 1 there and 0 at the others.
fn lagrange_basis(nodes: &[f64]) -> Vec<Vec<f64>> {
    let polynomial = |own: usize| {
        let mut coefficients = vec![1.0];
        for other in (0..nodes.len()).filter(|&other| other != own) {
            let scale = 1.0 / (nodes[own] - nodes[other]);
            let mut product = vec![0.0; coefficients.len() + 1];
            for (power, coefficient) in coefficients.iter().enumerate() {
                product[power + 1] += coefficient * scale;
                product[power] -= coefficient * scale * nodes[other];
            }
            coefficients = product;
        }
        coefficients
    };
    (0..nodes.len()).map(polynomial).collect()
}

/// iPNDM: Adams-Bashforth with the coefficients for equal steps (Liu et al. 2022, arXiv:2202.09778; Zhang and Chen
/// 2022).
pub(super) fn ipndm(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[Real],
    p: &Parameters,
    _: &mut dyn Noise,
) -> Result<Tensor> {
    multistep(model, x, sigmas, p.order, |x, step| {
        if step.ends() {
            return step.denoised.shallow_clone();
        }
        let (weights, divisor): (&[f64], f64) = match step.slopes.len() {
            1 => (&[1.0], 1.0),
            2 => (&[3.0, -1.0], 2.0),
            3 => (&[23.0, -16.0, 5.0], 12.0),
            _ => (&[55.0, -59.0, 37.0, -9.0], 24.0),
        };
        x + step.weighted(weights.iter().copied()) * step.width(0) / divisor
    })
}

/// iPNDM with coefficients for unequal steps, as diff-sampler has them (its third order differs from Adams-Bashforth's
/// by a slip that is part of the method by now).
pub(super) fn ipndm_v(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[Real],
    p: &Parameters,
    _: &mut dyn Noise,
) -> Result<Tensor> {
    multistep(model, x, sigmas, p.order, |x, step| match step.ends() {
        true => step.denoised.shallow_clone(),
        false => x + step.weighted(variable_step_weights(step)) * step.width(0),
    })
}

/// The weights of the slopes, newest first.
fn variable_step_weights(step: &Step) -> Vec<Real> {
    let (h0, one) = (step.width(0), step.width(0) * 0.0 + 1.0);
    let order = step.slopes.len();
    if order == 1 {
        return vec![one];
    }
    let h1 = step.width(1);
    let mut weights = vec![(2.0 + h0 / h1) / 2.0, -(h0 / h1) / 2.0];
    if order == 2 {
        return weights;
    }
    let h2 = step.width(2);
    let ratio = h1 / h2;
    let third = (1.0 - h0 / (3.0 * (h0 + h1)) * (h0 * (h0 + h1)) / (h1 * (h1 + h2))) / 2.0;
    add_scaled(&mut weights, third, &[one, -(1.0 + ratio), ratio]);
    if order == 3 {
        return weights;
    }
    let h3 = step.width(3);
    let k = h1 * (h1 + h2) / (h2 * (h2 + h3));
    let fourth = ((1.0 - h0 / (3.0 * (h0 + h1))) / 2.0 + (1.0 - h0 / (2.0 * (h0 + h1))) * h0 / (6.0 * (h0 + h1 + h2)))
        * (h0 * (h0 + h1) * (h0 + h1 + h2))
        / (h1 * (h1 + h2) * (h1 + h2 + h3));
    add_scaled(&mut weights, fourth, &[one, -(1.0 + ratio + k), ratio + k * (1.0 + h2 / h3), -k * ratio]);
    weights
}

/// Adds a multiple of `terms`, of which there is one more than weights.
fn add_scaled(weights: &mut Vec<Real>, scale: Real, terms: &[Real]) {
    weights.push(scale * 0.0);
    for (weight, term) in weights.iter_mut().zip(terms) {
        *weight = *weight + scale * *term;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lagrange_polynomials_are_one_at_their_node_and_zero_at_others() {
        let nodes = [0.5, -1.0, 3.0, 2.0];
        for (own, polynomial) in lagrange_basis(&nodes).iter().enumerate() {
            for (place, node) in nodes.iter().enumerate() {
                let value: f64 = polynomial.iter().enumerate().map(|(power, c)| c * node.powi(power as i32)).sum();
                assert!((value - f64::from(u8::from(place == own))).abs() < 1e-12);
            }
        }
    }
}
