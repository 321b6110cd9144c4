use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::values::Latent;

/// Flips latents.
#[derive(Node)]
#[node(category = "latent/transform", display = "Flip Latent")]
struct LatentFlip {
    samples: Latent,
    flip_method: Axis,
}

#[derive(Combo)]
enum Axis {
    #[combo(name = "x-axis: vertically")]
    Vertically,
    #[combo(name = "y-axis: horizontally")]
    Horizontally,
}

impl Run for LatentFlip {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let dim = match self.flip_method {
            Axis::Vertically => 2,
            Axis::Horizontally => 3,
        };
        Ok(self.samples.with_samples(self.samples.samples.flip([dim])))
    }
}
