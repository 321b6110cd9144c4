//! Heun's method and its relative.

use anyhow::Result;
use tch::Tensor;

use super::run::SamplerRun;
use super::step::slope;

/// Heun's method: Karras et al. (2022), arXiv:2206.00364, algorithm 1: the mean of the slopes at both ends.
pub(super) fn heun(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        let d = slope(&x, sigma, &denoised);
        let predicted = &x + &d * (next - sigma);
        x = if next == 0.0 {
            predicted
        } else {
            let denoised = run.denoise(&predicted, next)?.denoised;
            let mean = (d + slope(&predicted, next, &denoised)) / 2.0;
            &x + mean * (next - sigma)
        };
    }
    Ok(x)
}

/// Heun++ (Carzit, sd-webui-samplers-scheduler): slopes at up to three levels, weighted by each level relative to the
/// first. The last step but one uses two slopes, the last step one.
pub(super) fn heunpp2(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let sigmas = run.sigmas;
    let last = run.last_level();
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        let d1 = slope(&x, sigma, &denoised);
        let dt = next - sigma;
        let Some(&after) = sigmas.get(i + 2).filter(|_| next != last) else {
            x = &x + d1 * dt;
            continue;
        };
        let x2 = &x + &d1 * dt;
        let d2 = slope(&x2, next, &run.denoise(&x2, next)?.denoised);
        x = if after == last {
            let w2 = next / (2.0 * sigmas[0]);
            &x + (d1 * (1.0 - w2) + d2 * w2) * dt
        } else {
            let x3 = x2 + &d2 * (after - next);
            let d3 = slope(&x3, after, &run.denoise(&x3, after)?.denoised);
            let (w2, w3) = (next / (3.0 * sigmas[0]), after / (3.0 * sigmas[0]));
            &x + (d1 * (1.0 - w2 - w3) + d2 * w2 + d3 * w3) * dt
        };
    }
    Ok(x)
}
