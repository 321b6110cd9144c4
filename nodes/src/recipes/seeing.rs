//! CLIP_VISION and STYLE_MODEL: networks that look at pictures, and what makes prompts of what they see.

use crate::files::weights::Weights;

/// An image encoder: the network is built when it is used. A clone shares the file.
#[derive(Clone)]
pub struct ClipVision {
    pub weights: Weights,
}

/// What makes tokens of a prompt of what an image encoder sees. A clone shares the file.
#[derive(Clone)]
pub struct StyleModel {
    pub weights: Weights,
}
