//! Linear multistep methods: Adams-Bashforth on the slopes dx/dσ.

use std::collections::VecDeque;

use anyhow::Result;
use tch::{Scalar, Tensor};

use super::run::SamplerRun;
use super::step::slope;
use crate::diffusion::real::Real;

/// A step of a multistep method: its index, the levels, the slopes that it may use (newest first, 1 up to the order),
/// and the denoised latent.
pub(super) struct Multistep<'a> {
    pub(super) i: usize,
    pub(super) sigmas: &'a [Real],
    pub(super) slopes: &'a VecDeque<Tensor>,
    denoised: &'a Tensor,
}

impl Multistep<'_> {
    /// Whether this is the step to 0.
    pub(super) fn ends(&self) -> bool {
        self.sigmas[self.i + 1] == 0.0
    }

    /// Σ cⱼ·dᵢ₋ⱼ.
    fn weighted(&self, weights: impl IntoIterator<Item = impl Into<Scalar>>) -> Tensor {
        let terms = self.slopes.iter().zip(weights).map(|(slope, weight)| slope * weight);
        terms.reduce(|sum, term| sum + term).unwrap_or_else(|| self.slopes[0].zeros_like())
    }

    /// The width of the step that was made `back` steps before this one.
    fn width(&self, back: usize) -> Real {
        self.sigmas[self.i + 1 - back] - self.sigmas[self.i - back]
    }
}

/// The loop of all multistep methods. `advance` makes a step from a state.
pub(super) fn multistep(
    run: &mut SamplerRun,
    mut x: Tensor,
    advance: impl Fn(&Tensor, &Multistep) -> Tensor,
) -> Result<Tensor> {
    let mut slopes: VecDeque<Tensor> = VecDeque::new();
    for (i, sigma, _) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        slopes.push_front(slope(&x, sigma, &denoised));
        slopes.truncate(run.parameters.order.max(1));
        x = advance(&x, &Multistep { i, sigmas: run.sigmas, slopes: &slopes, denoised: &denoised });
    }
    Ok(x)
}

/// Linear multistep: the slopes are interpolated by a polynomial in σ, which is integrated over the step.
pub(super) fn lms(run: &mut SamplerRun, x: Tensor) -> Result<Tensor> {
    multistep(run, x, |x, step| {
        if step.ends() {
            return step.denoised.shallow_clone();
        }
        let nodes: Vec<Real> = (0..step.slopes.len()).map(|j| step.sigmas[step.i - j]).collect();
        let span = (step.sigmas[step.i].value(), step.sigmas[step.i + 1].value());
        x + step.weighted((0..nodes.len()).map(|own| integral(|sigma| lagrange(&nodes, own, sigma), span)))
    })
}

/// The Lagrange polynomial that is 1 at its own node and 0 at the others.
fn lagrange(nodes: &[Real], own: usize, sigma: f64) -> f64 {
    let others = nodes.iter().enumerate().filter(|&(place, _)| place != own);
    let factors = others.map(|(_, &node)| (nodes[own].with(sigma) - node) / (nodes[own] - node));
    factors.reduce(|product, factor| product * factor).map_or(1.0, Real::value)
}

/// Points and weights of the Gauss-Kronrod rule with 21 points on −1 … 1, from the outermost point to the middle.
const KRONROD: [(f64, f64); 11] = [
    (0.995_657_163_025_808_1, 0.011_694_638_867_371_874),
    (0.973_906_528_517_171_7, 0.032_558_162_307_964_725),
    (0.930_157_491_355_708_2, 0.054_755_896_574_351_995),
    (0.865_063_366_688_984_5, 0.075_039_674_810_919_96),
    (0.780_817_726_586_416_9, 0.093_125_454_583_697_6),
    (0.679_409_568_299_024_4, 0.109_387_158_802_297_64),
    (0.562_757_134_668_604_7, 0.123_491_976_262_065_85),
    (0.433_395_394_129_247_2, 0.134_709_217_311_473_34),
    (0.294_392_862_701_460_2, 0.142_775_938_577_060_09),
    (0.148_874_338_981_631_22, 0.147_739_104_901_338_49),
    (0.0, 0.149_445_554_002_916_9),
];

/// The integral of a polynomial, by the rule and in the order of summation of QUADPACK (Piessens et al. 1983), which
/// ComfyUI uses.
fn integral(polynomial: impl Fn(f64) -> f64, (start, end): (f64, f64)) -> f64 {
    let (centre, half) = (0.5 * (start + end), 0.5 * (end - start));
    let mut sum = KRONROD[10].1 * polynomial(centre);
    for place in (1..10).step_by(2).chain((0..10).step_by(2)) {
        let (point, weight) = KRONROD[place];
        sum += weight * (polynomial(centre - half * point) + polynomial(centre + half * point));
    }
    sum * half
}

/// iPNDM: Adams-Bashforth with the coefficients for equal steps (Liu et al. 2022, arXiv:2202.09778; Zhang and Chen
/// 2022).
pub(super) fn ipndm(run: &mut SamplerRun, x: Tensor) -> Result<Tensor> {
    multistep(run, x, |x, step| {
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

/// iPNDM with coefficients for unequal steps, as in diff-sampler. Its third order differs from Adams-Bashforth by a
/// slip, which is part of the method by now.
pub(super) fn ipndm_v(run: &mut SamplerRun, x: Tensor) -> Result<Tensor> {
    multistep(run, x, |x, step| match step.ends() {
        true => step.denoised.shallow_clone(),
        false => x + step.weighted(variable_step_weights(step)) * step.width(0),
    })
}

/// The weights of the slopes, newest first.
fn variable_step_weights(step: &Multistep) -> Vec<Real> {
    let (order, h0) = (step.slopes.len(), step.width(0));
    if order == 1 {
        return vec![h0.with(1.0)];
    }
    let h1 = step.width(1);
    let (newest, older) = ((2.0 + h0 / h1) / 2.0, -(h0 / h1) / 2.0);
    if order == 2 {
        return vec![newest, older];
    }
    let h2 = step.width(2);
    let third = (1.0 - h0 / (3.0 * (h0 + h1)) * (h0 * (h0 + h1)) / (h1 * (h1 + h2))) / 2.0;
    let older = older - (1.0 + h1 / h2) * third;
    if order == 3 {
        return vec![newest + third, older, third * h1 / h2];
    }
    let h3 = step.width(3);
    let k = h1 * (h1 + h2) / (h2 * (h2 + h3));
    let fourth = ((1.0 - h0 / (3.0 * (h0 + h1))) / 2.0 + (1.0 - h0 / (2.0 * (h0 + h1))) * h0 / (6.0 * (h0 + h1 + h2)))
        * (h0 * (h0 + h1) * (h0 + h1 + h2))
        / (h1 * (h1 + h2) * (h1 + h2 + h3));
    vec![
        newest + third + fourth,
        older - (1.0 + h1 / h2 + k) * fourth,
        third * h1 / h2 + (h1 / h2 + k * (1.0 + h2 / h3)) * fourth,
        -fourth * k * h1 / h2,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lagrange_polynomials_are_one_at_their_node_and_zero_at_others() {
        let nodes = [0.5, -1.0, 3.0, 2.0].map(Real::Double);
        for own in 0..nodes.len() {
            for (place, node) in nodes.iter().enumerate() {
                let value = lagrange(&nodes, own, node.value());
                assert!((value - f64::from(u8::from(place == own))).abs() < 1e-12);
            }
        }
        assert_eq!(lagrange(&nodes[..1], 0, 7.0), 1.0);
    }

    #[test]
    fn polynomials_are_integrated_exactly() {
        for power in 0..8 {
            let expected = (3f64.powi(power + 1) - 0.5f64.powi(power + 1)) / f64::from(power + 1);
            let value = integral(|x| x.powi(power), (0.5, 3.0));
            assert!((value - expected).abs() < 1e-13 * expected, "{power}: {value}, not {expected}");
        }
    }
}
