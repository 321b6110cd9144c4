//! IMAGE: a batch of pictures.

use tch::Tensor;

/// A batch of pictures: B×H×W×C (C is 3, or 4 with alpha), float32 on the CPU, 0 to 1. A clone shares the tensor.
#[derive(Debug)]
pub struct Image(pub Tensor);

impl Clone for Image {
    fn clone(&self) -> Image {
        Image(self.0.shallow_clone())
    }
}
