use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, Pair};

/// Divides the predicted noise by a number near 1, against the exposure bias that accumulates over the steps (Ning et
/// al. 2023, arXiv:2308.15321).
#[derive(Node)]
#[node(class = "Epsilon Scaling", category = "model_patches/unet")]
struct EpsilonScaling {
    model: Model,
    /// The divisor. Above 1, each step removes less noise.
    #[input(default = 1.005, min = 0.5, max = 1.5, step = 0.001)]
    scaling_factor: f64,
}

impl Run for EpsilonScaling {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(Scaled { by: self.scaling_factor }))
    }
}

#[derive(Debug)]
struct Scaled {
    by: f64,
}

impl Hook for Scaled {
    fn after_guidance(&self, denoised: Tensor, _: &Pair, evaluation: &Evaluation) -> anyhow::Result<Tensor> {
        Ok(evaluation.x - (evaluation.x - denoised) / self.by)
    }
}
