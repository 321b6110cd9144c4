use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::values::Latent;

/// Rotates latents clockwise.
#[derive(Node)]
#[node(category = "latent/transform", display = "Rotate Latent")]
struct LatentRotate {
    samples: Latent,
    rotation: Rotation,
}

#[derive(Clone, Copy, Combo)]
enum Rotation {
    #[combo(name = "none")]
    None,
    #[combo(name = "90 degrees")]
    Quarter,
    #[combo(name = "180 degrees")]
    Half,
    #[combo(name = "270 degrees")]
    ThreeQuarters,
}

impl Run for LatentRotate {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(self.samples.with_samples(self.samples.samples.rot90(self.rotation as i64, [3, 2])))
    }
}
