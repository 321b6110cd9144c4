use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::WHOLE;
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, Pair};

/// Limits the norm of the guided prediction to that of the positive one.
#[derive(Node)]
#[node(category = "advanced/model")]
struct RenormCFG {
    model: Model,
    /// There is no guidance at noise levels of this and above.
    #[input(default = 100.0, min = 0.0, max = 100.0, step = 0.01)]
    cfg_trunc: f64,
    /// The limit, as a multiple of the positive prediction's norm; 0 sets none.
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01)]
    renorm_cfg: f64,
}

impl Run for RenormCFG {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(Limited { below: self.cfg_trunc, most: self.renorm_cfg }))
    }
}

#[derive(Debug)]
struct Limited {
    below: f64,
    most: f64,
}

impl Hook for Limited {
    fn guide(&self, pair: &Pair, evaluation: &Evaluation) -> anyhow::Result<Option<Tensor>> {
        if evaluation.sigma >= self.below {
            return Ok(Some(evaluation.x - pair.cond));
        }
        let guided = pair.guided(evaluation.cfg);
        if self.most <= 0.0 {
            return Ok(Some(evaluation.x - guided));
        }
        let length = |tensor: &Tensor| tensor.norm_scalaropt_dim(2.0, WHOLE, true);
        // For each image of the batch. ComfyUI's node works for a batch of one only.
        let allowed = length(pair.cond) * self.most / length(&guided);
        Ok(Some(evaluation.x - guided * allowed.clamp_max(1.0)))
    }
}
