//! The autoencoder that changes nothing: for models whose latents are the pixels themselves.

use tch::Tensor;

use super::picture_autoencoder::PictureAutoencoder;
use crate::files::gathered::Gathered;
use crate::files::weights::Weights;

/// What such an autoencoder is recognised by in a checkpoint.
const MARK: &str = "pixel_space_vae";

/// Latents are B×3×H×W in -1…1.
pub struct PixelSpace;

impl PixelSpace {
    /// Whether the tensors say that latents are pixels.
    pub fn is_in(weights: &Weights) -> bool {
        weights.contains(MARK)
    }

    /// One without a file.
    pub fn weights() -> Weights {
        Weights::gathered(Gathered::new("pixel_space").with_number(MARK, 1.0))
    }
}

impl PictureAutoencoder for PixelSpace {
    fn latent_channels(&self) -> i64 {
        3
    }

    fn factor(&self) -> i64 {
        1
    }

    fn encode_picture(&self, pixels: &Tensor) -> Tensor {
        pixels * 2.0 - 1.0
    }

    fn decode_picture(&self, latent: &Tensor) -> Tensor {
        latent.shallow_clone()
    }
}
