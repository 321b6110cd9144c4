use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::only_first;
use crate::values::Conditioning;

/// Appends the embedding of a prompt to those of `conditioning_to`, so that the model attends to both at once.
#[derive(Node)]
#[node(category = "conditioning", display = "Conditioning (Concat)")]
struct ConditioningConcat {
    conditioning_to: Conditioning,
    /// Only its first prompt is used.
    conditioning_from: Conditioning,
}

impl Run for ConditioningConcat {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Conditioning> {
        let from = only_first(cx, &self.conditioning_from)?;
        Ok(self.conditioning_to.map(|entry| entry.cond = Tensor::cat(&[&entry.cond, &from.cond], 1)))
    }
}
