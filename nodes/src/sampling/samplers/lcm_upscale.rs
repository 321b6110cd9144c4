//! LCM sampling on a state that grows.

use anyhow::{Result, ensure};
use tch::Tensor;

use super::run::SamplerRun;
use crate::ops::resize::{Crop, Method, resize};

/// The most values that a state may grow to (1 GiB).
const MOST_VALUES: f64 = (1u64 << 28) as f64;

/// Denoises fully in each step, upscales the result in the first steps, and adds noise of the next level.
pub(super) fn lcm_upscale(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    let sigmas = run.sigmas;
    let growth = p.growth;
    let (batch, _, height, width) = x.size4()?;
    ensure!(
        x.numel() as f64 * growth.ratio * growth.ratio <= MOST_VALUES,
        "a latent of {width}x{height} is too large to grow {} times: set a smaller scale_ratio",
        growth.ratio
    );
    let sizes = match growth.steps {
        Some(steps) => (steps + 1).min(sigmas.len() + 1),
        None => (sigmas.len() / 2 + 1).max(2),
    };
    // Spherical interpolation leaves a batch channels-last in memory, and it stays so.
    let mut channels_last = false;
    for (i, _, next) in run.steps() {
        x = run.start_step(i, &x)?.denoised;
        if i + 1 < sizes {
            let factor = 1.0 + (growth.ratio - 1.0) * (i + 1) as f64 / (sizes - 1) as f64;
            let side = |side: i64| (side as f64 * factor).round_ties_even() as i64;
            x = resize(&x, side(width), side(height), growth.method, Crop::Disabled)?;
            channels_last = growth.method == Method::Bislerp && batch > 1;
        }
        if next > 0.0 {
            let (batch, channels, height, width) = x.size4()?;
            // In place, as in ComfyUI: if the run ends above 0, its denoised output is this tensor, and contains the
            // noise.
            x += run.noise.draw_shaped([batch, channels, height, width], channels_last)? * next;
        }
    }
    Ok(x)
}
