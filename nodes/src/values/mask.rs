//! MASK: a batch of single-channel pictures.

use tch::Tensor;

/// A batch of masks: B×H×W, float32 on the CPU, 0 to 1. A clone shares the tensor.
#[derive(Debug)]
pub struct Mask(pub Tensor);

impl Clone for Mask {
    fn clone(&self) -> Mask {
        Mask(self.0.shallow_clone())
    }
}
