use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::recipes::Model;
use crate::sampling::guidance::perpendicular;
use crate::sampling::hooks::{Evaluation, Hook, Pair, PromptSet};
use crate::values::Conditioning;

/// Guides away only from the part of the negative prediction that is perpendicular to the positive one (Perp-Neg).
///
/// PerpNegGuider does the same with fewer evaluations of the model.
#[derive(Node)]
#[node(category = "_for_testing", display = "Perp-Neg (DEPRECATED by PerpNegGuider)", experimental, deprecated)]
struct PerpNeg {
    model: Model,
    /// The conditioning of an empty prompt.
    empty_conditioning: Conditioning,
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01)]
    neg_scale: f64,
}

impl Run for PerpNeg {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(Perpendicular { empty: self.empty_conditioning, scale: self.neg_scale }))
    }
}

#[derive(Debug)]
struct Perpendicular {
    empty: Conditioning,
    scale: f64,
}

impl Hook for Perpendicular {
    fn guide(&self, pair: &Pair, evaluation: &Evaluation) -> anyhow::Result<Option<Tensor>> {
        let empty = evaluation.network.predict(PromptSet::Other(&self.empty), evaluation.x, evaluation.sigma, None)?;
        Ok(Some(evaluation.x - perpendicular(pair.cond, pair.uncond, &empty, self.scale, evaluation.cfg)))
    }
}
