//! CLIP_VISION_OUTPUT: what CLIP sees in pictures.

use tch::Tensor;

/// What CLIP sees in pictures, float32 on the CPU. A clone shares the tensors.
#[derive(Debug)]
pub struct ClipVisionOutput {
    /// The states before its last layer, B×N×W.
    pub penultimate: Tensor,
    /// The states behind it, B×N×W; nothing where several pictures are put together for a model that looks at the others alone.
    pub last: Option<Tensor>,
    /// The pictures as vectors in the space of texts, B×w; SigLIP's are its last states.
    pub embeds: Option<Tensor>,
    /// The pictures as tokens of a language model, B×N×w, by encoders that are to show them to one.
    pub projected: Option<Tensor>,
}

impl ClipVisionOutput {
    /// The states before the last layer alone.
    pub fn of(penultimate: Tensor) -> ClipVisionOutput {
        ClipVisionOutput { penultimate, last: None, embeds: None, projected: None }
    }

    /// All tensors.
    pub fn tensors(&self) -> Vec<&Tensor> {
        std::iter::once(&self.penultimate).chain(&self.last).chain(&self.embeds).chain(&self.projected).collect()
    }
}

impl Clone for ClipVisionOutput {
    fn clone(&self) -> ClipVisionOutput {
        let share = |tensor: &Option<Tensor>| tensor.as_ref().map(Tensor::shallow_clone);
        ClipVisionOutput {
            penultimate: self.penultimate.shallow_clone(),
            last: share(&self.last),
            embeds: share(&self.embeds),
            projected: share(&self.projected),
        }
    }
}
