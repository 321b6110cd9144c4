use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::WHOLE;
use crate::diffusion::real::Real;
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, Pair};

/// Keeps strong guidance from overexposing pictures: rescales the guided prediction to the standard deviation of the
/// positive one.
///
/// Lin et al. (2023), arXiv:2305.08891. Computed on velocities, whatever the model predicts.
#[derive(Node)]
#[node(category = "advanced/model")]
struct RescaleCFG {
    model: Model,
    /// The share of the rescaled prediction in the result. The rest is the plain guided prediction.
    #[input(default = 0.7, min = 0.0, max = 1.0, step = 0.01, beyond = Both)]
    multiplier: f64,
}

impl Run for RescaleCFG {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(Rescaled { share: self.multiplier }))
    }
}

#[derive(Debug)]
struct Rescaled {
    share: f64,
}

impl Hook for Rescaled {
    fn guide(&self, pair: &Pair, evaluation: &Evaluation) -> anyhow::Result<Option<Tensor>> {
        let sigma = Real::Single(evaluation.sigma as f32);
        let variance = sigma * sigma + 1.0;
        let deviation = variance.sqrt();
        let x = evaluation.x / variance;
        let velocity = |denoised: &Tensor| (&x - (evaluation.x - (evaluation.x - denoised))) * deviation / sigma;
        let (cond, uncond) = (velocity(pair.cond), velocity(pair.uncond));
        let guided = &uncond + (&cond - &uncond) * evaluation.cfg;
        let spread = |tensor: &Tensor| tensor.std_dim(WHOLE, true, true);
        let rescaled = &guided * (spread(&cond) / spread(&guided));
        let mixed = rescaled * self.share + guided * (1.0 - self.share);
        Ok(Some(evaluation.x - (x - mixed * sigma / deviation)))
    }
}
