//! NOISE: what sampling starts from.

use anyhow::Result;
use tch::Tensor;

use super::Latent;
use crate::ops::noise::Stream;
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

    /// The noise for a latent, shaped as its samples, float32 on the CPU; and the generator that it left behind.
    ///
    /// # Errors
    /// If the latent's batch places are out of range.
    pub fn draw(self, latent: &Latent) -> Result<(Tensor, Stream)> {
        let shape = latent.samples.size();
        let mut stream = Stream::seeded(self.seed());
        let noise = match self {
            NoiseChoice::Disabled => no_noise(&shape),
            NoiseChoice::Random(_) => initial_noise(latent, &shape, &mut stream)?,
        };
        Ok((noise, stream))
    }
}
