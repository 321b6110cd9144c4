use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Conditioning;
use crate::values::extras::POOLED;

/// Replaces the embeddings of a conditioning by zeros. This differs from an empty prompt.
#[derive(Node)]
#[node(category = "advanced/conditioning")]
struct ConditioningZeroOut {
    conditioning: Conditioning,
}

impl Run for ConditioningZeroOut {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        Ok(self.conditioning.map(|entry| {
            entry.cond = entry.cond.zeros_like();
            if let Some(pooled) = entry.extras.get(POOLED) {
                entry.extras.set(POOLED, pooled.zeros_like());
            }
        }))
    }
}
