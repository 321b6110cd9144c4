use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::Patched;
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, Pair};

/// Limits the norm of the guided prediction at each latent pixel to that of the positive prediction there.
#[derive(Node)]
#[node(category = "advanced/guidance", experimental)]
struct CFGNorm {
    model: Model,
    /// Factor on the result.
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01)]
    strength: f64,
}

impl Run for CFGNorm {
    type Out = Patched;

    fn run(self, _: &mut Cx) -> anyhow::Result<Patched> {
        Ok(Patched { model: self.model.with_hook(Limited { strength: self.strength }) })
    }
}

#[derive(Debug)]
struct Limited {
    strength: f64,
}

impl Hook for Limited {
    fn after_guidance(&self, denoised: Tensor, pair: &Pair, _: &Evaluation) -> anyhow::Result<Tensor> {
        let length = |tensor: &Tensor| tensor.norm_scalaropt_dim(2.0, [1i64], true);
        let allowed = length(pair.cond) / (length(&denoised) + 1e-8);
        Ok(denoised * allowed.clamp(0.0, 1.0) * self.strength)
    }
}
