//! Heun's method and its relative.

use anyhow::Result;
use tch::Tensor;

use super::Parameters;
use super::step::{slope, steps};
use crate::diffusion::real::Real;
use crate::sampling::denoise::Denoise;
use crate::sampling::noise::Noise;

/// Heun's method: Karras et al. (2022), arXiv:2206.00364, algorithm 1: the mean of the slopes at both ends.
pub(super) fn heun(
    model: &mut dyn Denoise,
    mut x: Tensor,
    sigmas: &[Real],
    _: &Parameters,
    _: &mut dyn Noise,
) -> Result<Tensor> {
    for (i, sigma, next) in steps(sigmas) {
        let denoised = model.denoise(&x, sigma.into())?.denoised;
        model.on_step(i, sigmas.len() - 1, &denoised)?;
        let d = slope(&x, sigma, &denoised);
        let predicted = &x + &d * (next - sigma);
        x = if next == 0.0 {
            predicted
        } else {
            let denoised = model.denoise(&predicted, next.into())?.denoised;
            let mean = (d + slope(&predicted, next, &denoised)) / 2.0;
            &x + mean * (next - sigma)
        };
    }
    Ok(x)
}

/// Heun++ (Carzit, sd-webui-samplers-scheduler): slopes at up to three levels ahead, weighted by their level relative
/// to the first. Two slopes before the last interval, one in it.
pub(super) fn heunpp2(
    model: &mut dyn Denoise,
    mut x: Tensor,
    sigmas: &[Real],
    _: &Parameters,
    _: &mut dyn Noise,
) -> Result<Tensor> {
    let last = sigmas[sigmas.len() - 1];
    for (i, sigma, next) in steps(sigmas) {
        let denoised = model.denoise(&x, sigma.into())?.denoised;
        model.on_step(i, sigmas.len() - 1, &denoised)?;
        let d1 = slope(&x, sigma, &denoised);
        let dt = next - sigma;
        let Some(&after) = sigmas.get(i + 2).filter(|_| next != last) else {
            x = &x + d1 * dt;
            continue;
        };
        let x2 = &x + &d1 * dt;
        let d2 = slope(&x2, next, &model.denoise(&x2, next.into())?.denoised);
        x = if after == last {
            let w2 = next / (2.0 * sigmas[0]);
            &x + (d1 * (1.0 - w2) + d2 * w2) * dt
        } else {
            let x3 = x2 + &d2 * (after - next);
            let d3 = slope(&x3, after, &model.denoise(&x3, after.into())?.denoised);
            let (w2, w3) = (next / (3.0 * sigmas[0]), after / (3.0 * sigmas[0]));
            &x + (d1 * (1.0 - w2 - w3) + d2 * w2 + d3 * w3) * dt
        };
    }
    Ok(x)
}
