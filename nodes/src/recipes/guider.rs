//! GUIDER: a model with what guides it.

use super::Model;
use crate::sampling::guidance::Guide;

/// What a sampler denoises with. A clone shares the tensors.
#[derive(Clone)]
pub struct Guider {
    pub model: Model,
    pub guide: Guide,
}
