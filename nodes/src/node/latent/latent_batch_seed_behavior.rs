use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::values::Latent;

/// Sets whether each latent of a batch gets noise of its own, or all get that of the first.
#[derive(Node)]
#[node(category = "latent/advanced")]
struct LatentBatchSeedBehavior {
    samples: Latent,
    #[input(default = "fixed")]
    seed_behavior: Behavior,
}

#[derive(Combo)]
enum Behavior {
    Random,
    Fixed,
}

impl Run for LatentBatchSeedBehavior {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let latent = self.samples;
        let batch_index = match self.seed_behavior {
            Behavior::Random => None,
            Behavior::Fixed => {
                let first = latent.batch_index.iter().flatten().next().copied().unwrap_or(0);
                Some(vec![first; latent.samples.size()[0] as usize])
            }
        };
        Ok(Latent { batch_index, ..latent })
    }
}
