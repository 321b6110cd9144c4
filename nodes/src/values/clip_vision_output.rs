//! CLIP_VISION_OUTPUT: what CLIP sees in pictures.

use tch::Tensor;

/// What CLIP sees in pictures: the states before its last layer, B×N×W, float32 on the CPU. A clone shares the tensor.
#[derive(Debug)]
pub struct ClipVisionOutput(pub Tensor);

impl Clone for ClipVisionOutput {
    fn clone(&self) -> ClipVisionOutput {
        ClipVisionOutput(self.0.shallow_clone())
    }
}
