use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::only_first;
use crate::values::Conditioning;
use crate::values::extras::POOLED;

/// Mixes the embedding of a prompt into those of `conditioning_to`. It is first padded with zeros, or cut, to their
/// length.
#[derive(Node)]
#[node(category = "conditioning")]
struct ConditioningAverage {
    conditioning_to: Conditioning,
    /// Only its first prompt is used.
    conditioning_from: Conditioning,
    /// The share of `conditioning_to`.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01, beyond = Both)]
    conditioning_to_strength: f64,
}

impl Run for ConditioningAverage {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Conditioning> {
        let from = only_first(cx, &self.conditioning_from)?;
        let share = self.conditioning_to_strength;
        let mixed = |to: &Tensor, from: &Tensor| to * share + from * (1.0 - share);
        Ok(self.conditioning_to.map(|entry| {
            let tokens = entry.cond.size()[1];
            entry.cond = mixed(&entry.cond, &with_length(&from.cond, tokens));
            if let Some(pooled) = from.extras.get(POOLED) {
                let own = entry.extras.get(POOLED).unwrap_or_else(|| pooled.shallow_clone());
                entry.extras.set(POOLED, mixed(&own, &pooled));
            }
        }))
    }
}

/// An embedding 1×T×W, cut or padded with zeros to `tokens` tokens.
fn with_length(cond: &Tensor, tokens: i64) -> Tensor {
    let have = cond.size()[1];
    match have < tokens {
        true => cond.constant_pad_nd([0, 0, 0, tokens - have]),
        false => cond.narrow(1, 0, tokens),
    }
}
