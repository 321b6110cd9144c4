use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Conditioning;
use crate::values::extras::POOLED;

/// Multiplies the embeddings of prompts, and their pooled ones.
#[derive(Node)]
#[node(category = "model/conditioning/transform", display = "Conditioning (Multiply)")]
struct ConditioningMultiply {
    conditioning: Conditioning,
    #[input(default = 1.0, min = -100.0, max = 100.0, step = 0.01)]
    multiplier: f64,
}

impl Run for ConditioningMultiply {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        let multiplier = self.multiplier;
        Ok(self.conditioning.map(|entry| {
            entry.cond = &entry.cond * multiplier;
            if let Some(pooled) = entry.extras.get(POOLED) {
                entry.extras.set(POOLED, pooled * multiplier);
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::Tensor;

    use super::*;
    use crate::values::Entry;

    #[test]
    fn embedding_and_pooled_embedding_are_multiplied() {
        let mut entry = Entry::new(Tensor::from_slice(&[1.0_f32, 2.0]).view([1, 1, 2]));
        entry.extras.set(POOLED, Tensor::from_slice(&[4.0_f32]).view([1, 1]));
        let node = ConditioningMultiply { conditioning: Conditioning(vec![entry]), multiplier: -0.5 };
        let entry = Cx::for_test().run(node).unwrap().0.remove(0);
        assert_eq!(Vec::<f32>::try_from(entry.cond.view(-1)).unwrap(), [-0.5, -1.0]);
        assert_eq!(entry.extras.get(POOLED).unwrap().double_value(&[0, 0]), -2.0);
    }
}
