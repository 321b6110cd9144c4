use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Conditioning;

/// Joins two conditionings. The model is evaluated under each of them, and the predictions are averaged.
#[derive(Node)]
#[node(category = "conditioning", display = "Conditioning (Combine)")]
struct ConditioningCombine {
    conditioning_1: Conditioning,
    conditioning_2: Conditioning,
}

impl Run for ConditioningCombine {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        Ok(self.conditioning_1.joined(self.conditioning_2)?)
    }
}
