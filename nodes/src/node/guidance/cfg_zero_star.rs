use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Kind, Tensor};

use super::{Patched, WHOLE};
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, Pair};

/// Scales the negative prediction to the least squares fit of the positive one before guidance moves away from it.
///
/// CFG-Zero* (Fan et al. 2025, arXiv:2503.18886).
#[derive(Node)]
#[node(category = "advanced/guidance")]
struct CFGZeroStar {
    model: Model,
}

impl Run for CFGZeroStar {
    type Out = Patched;

    fn run(self, _: &mut Cx) -> anyhow::Result<Patched> {
        Ok(Patched { model: self.model.with_hook(Fitted) })
    }
}

#[derive(Debug)]
struct Fitted;

impl Hook for Fitted {
    fn after_guidance(&self, denoised: Tensor, pair: &Pair, evaluation: &Evaluation) -> anyhow::Result<Tensor> {
        let (positive, negative) = (evaluation.x - pair.cond, evaluation.x - pair.uncond);
        let sum = |tensor: Tensor| tensor.sum_dim_intlist(WHOLE, true, Kind::Float);
        let scale = sum(positive * &negative) / (sum(negative.square()) + 1e-8);
        Ok(denoised + pair.uncond * (&scale - 1.0) + pair.uncond * evaluation.cfg * (1.0 - scale))
    }
}
