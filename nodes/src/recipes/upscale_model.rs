//! UPSCALE_MODEL: a network that enlarges pictures.

use crate::files::weights::Weights;

/// A recipe: the network is built when it is used. A clone shares the file.
#[derive(Clone)]
pub struct UpscaleModel {
    pub weights: Weights,
}
