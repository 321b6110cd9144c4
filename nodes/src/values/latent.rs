//! LATENT: a batch of latent images.

use redraft_engine::error::OutOfMemory;
use tch::Tensor;

use super::memories::Memories;
use crate::ops::memory::filled;

/// A batch of latent images, as ComfyUI's LATENT dictionary carries it. A clone shares the tensors.
#[derive(Debug)]
pub struct Latent {
    /// B×C×h×w, float32 on the CPU, in VAE units (what the VAE's encoder gives, unscaled); h and w are the picture's / 8.
    pub samples: Tensor,
    /// What sampling may change: 1 = repaint, 0 = keep. H×W, N×H×W or N×1×H×W at any size (resized when sampling).
    pub noise_mask: Option<Tensor>,
    /// For each image its index in the batch that it was taken from: equal indices draw equal noise.
    pub batch_index: Option<Vec<i64>>,
    /// What guidance remembers of the runs that it came from.
    pub memories: Memories,
}

impl Latent {
    /// A latent without mask, batch indices and memories.
    pub fn new(samples: Tensor) -> Latent {
        Latent { samples, noise_mask: None, batch_index: None, memories: Memories::default() }
    }

    /// One of zeros.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn zeros(size: &[i64]) -> Result<Latent, OutOfMemory> {
        Ok(Latent::new(filled(size, 0.0, "the latent")?))
    }

    /// The same mask, batch indices and memories around other samples.
    pub fn with_samples(&self, samples: Tensor) -> Latent {
        Latent { samples, ..self.clone() }
    }
}

impl Clone for Latent {
    fn clone(&self) -> Latent {
        Latent {
            samples: self.samples.shallow_clone(),
            noise_mask: self.noise_mask.as_ref().map(Tensor::shallow_clone),
            batch_index: self.batch_index.clone(),
            memories: self.memories.clone(),
        }
    }
}
