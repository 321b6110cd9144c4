//! What a sampler asks for: a denoised latent.

use anyhow::Result;
use tch::Tensor;

/// What the guided network makes of a noisy state.
#[derive(Debug)]
pub struct Denoised {
    /// The clean latent that it expects, shaped as the state.
    pub denoised: Tensor,
    /// The same under the negative conditioning alone; zeros where that was not evaluated.
    pub uncond: Tensor,
}

/// A denoiser as samplers see it: the network with guidance, regions and masks around it.
pub trait Denoise {
    /// The clean latent expected behind the state `x` = clean + sigma·noise; `sigma` is above 0.
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Denoised>;

    /// Called once for each step, when its first evaluation is there: `step` counts from 0 to below `total` (adaptive
    /// samplers may exceed it). An error ends the sampling at once and is handed on; a cancelled run gives one.
    fn on_step(&mut self, step: usize, total: usize, denoised: &Tensor) -> Result<()>;
}

/// What is told about each sampling step: its number from 0, the number of steps, and the denoised latent in the
/// network's scale on its device. An error ends the sampling.
pub type OnStep<'a> = dyn FnMut(usize, usize, &Tensor) -> Result<()> + 'a;
