//! Linear multistep methods: Adams-Bashforth on the slopes dx/dσ.

use std::collections::VecDeque;

use anyhow::Result;
use tch::Tensor;

use super::Parameters;
use super::step::{lagrange_basis, slope, steps};
use crate::sampling::denoise::Denoise;
use crate::sampling::noise::Noise;

/// A step of a multistep method: its index, the levels, and how many slopes it may use (1 up to the order).
pub(super) struct Step<'a> {
    pub(super) i: usize,
    pub(super) sigmas: &'a [f64],
    pub(super) order: usize,
}

/// The common loop: x += Σ cⱼ·dᵢ₋ⱼ with the coefficients that `coefficients` gives, newest slope first. A step to 0
/// ends with the denoised latent.
pub(super) fn multistep(
    model: &mut dyn Denoise,
    mut x: Tensor,
    sigmas: &[f64],
    order: usize,
    coefficients: impl Fn(&Step) -> Vec<f64>,
) -> Result<Tensor> {
    let mut slopes: VecDeque<Tensor> = VecDeque::new();
    for (i, sigma, next) in steps(sigmas) {
        let denoised = model.denoise(&x, sigma)?.denoised;
        model.on_step(i, sigmas.len() - 1, &denoised)?;
        slopes.push_front(slope(&x, sigma, &denoised));
        slopes.truncate(order.max(1));
        if next == 0.0 {
            x = denoised;
            continue;
        }
        let weights = coefficients(&Step { i, sigmas, order: slopes.len() });
        for (weight, slope) in weights.iter().zip(&slopes) {
            x = &x + slope * *weight;
        }
    }
    Ok(x)
}

/// Linear multistep: the slopes are interpolated by a polynomial in σ, which is integrated exactly.
pub(super) fn lms(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[f64],
    p: &Parameters,
    _: &mut dyn Noise,
) -> Result<Tensor> {
    multistep(model, x, sigmas, p.order, |step| {
        let (i, sigmas) = (step.i, step.sigmas);
        // Shifted to σ, for the sake of rounding.
        let nodes: Vec<f64> = (0..step.order).map(|j| sigmas[i - j] - sigmas[i]).collect();
        let end = sigmas[i + 1] - sigmas[i];
        let integral = |polynomial: &Vec<f64>| -> f64 {
            polynomial.iter().zip(1..).map(|(c, power)| c * end.powi(power) / f64::from(power)).sum()
        };
        lagrange_basis(&nodes).iter().map(integral).collect()
    })
}

/// iPNDM: Adams-Bashforth with the coefficients for equal steps (Liu et al. 2022, arXiv:2202.09778; Zhang and Chen
/// 2022).
pub(super) fn ipndm(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[f64],
    p: &Parameters,
    _: &mut dyn Noise,
) -> Result<Tensor> {
    multistep(model, x, sigmas, p.order, |step| {
        let h = step.sigmas[step.i + 1] - step.sigmas[step.i];
        let (weights, divisor): (&[f64], f64) = match step.order {
            1 => (&[1.0], 1.0),
            2 => (&[3.0, -1.0], 2.0),
            3 => (&[23.0, -16.0, 5.0], 12.0),
            _ => (&[55.0, -59.0, 37.0, -9.0], 24.0),
        };
        weights.iter().map(|weight| h * weight / divisor).collect()
    })
}

/// iPNDM with coefficients for unequal steps, as diff-sampler has them (its third order differs from Adams-Bashforth's
/// by a slip that is part of the method by now).
pub(super) fn ipndm_v(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[f64],
    p: &Parameters,
    _: &mut dyn Noise,
) -> Result<Tensor> {
    multistep(model, x, sigmas, p.order, |step| {
        let h = |back: usize| step.sigmas[step.i + 1 - back] - step.sigmas[step.i - back];
        variable_step_weights(step.order, h).into_iter().map(|weight| weight * h(0)).collect()
    })
}

/// The weights of the slopes, newest first, from the steps: `h(0)` is the one to be made, `h(1)` the last one.
fn variable_step_weights(order: usize, h: impl Fn(usize) -> f64) -> Vec<f64> {
    if order == 1 {
        return vec![1.0];
    }
    let (h0, h1) = (h(0), h(1));
    let mut weights = vec![1.0 + h0 / h1 / 2.0, -h0 / h1 / 2.0];
    if order == 2 {
        return weights;
    }
    let h2 = h(2);
    let ratio = h1 / h2;
    let third = (1.0 - h0 / (3.0 * (h0 + h1)) * (h0 * (h0 + h1)) / (h1 * (h1 + h2))) / 2.0;
    weights.push(0.0);
    add_scaled(&mut weights, third, &[1.0, -1.0 - ratio, ratio]);
    if order == 3 {
        return weights;
    }
    let h3 = h(3);
    let k = h1 * (h1 + h2) / (h2 * (h2 + h3));
    let fourth = ((1.0 - h0 / (3.0 * (h0 + h1))) / 2.0 + (1.0 - h0 / (2.0 * (h0 + h1))) * h0 / (6.0 * (h0 + h1 + h2)))
        * (h0 * (h0 + h1) * (h0 + h1 + h2))
        / (h1 * (h1 + h2) * (h1 + h2 + h3));
    weights.push(0.0);
    add_scaled(&mut weights, fourth, &[1.0, -1.0 - ratio - k, ratio + k * (1.0 + h2 / h3), -k * ratio]);
    weights
}

fn add_scaled(weights: &mut [f64], scale: f64, terms: &[f64]) {
    for (weight, term) in weights.iter_mut().zip(terms) {
        *weight += scale * term;
    }
}
