//! NOISE: what sampling starts from.

use anyhow::Result;
use tch::Tensor;

use super::Latent;
use crate::sampling::noise::{initial_noise, no_noise};

/// How the initial noise of a sampling run is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseChoice {
    /// The latent brings its own.
    Disabled,
    /// Drawn from this seed.
    Random(u64),
}

impl NoiseChoice {
    /// The seed of the sampler's own noise.
    pub fn seed(self) -> u64 {
        match self {
            NoiseChoice::Disabled => 0,
            NoiseChoice::Random(seed) => seed,
        }
    }

    /// The noise for a latent, shaped as its samples, float32 on the CPU.
    ///
    /// # Errors
    /// If the latent's batch places are out of range.
    pub fn draw(self, latent: &Latent) -> Result<Tensor> {
        let shape = latent.samples.size();
        match self {
            NoiseChoice::Disabled => Ok(no_noise(&shape)),
            NoiseChoice::Random(seed) => initial_noise(latent, &shape, seed),
        }
    }
}
