use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::masks::batched;
use crate::values::{Latent, Mask};

/// Sets the noise mask of a latent, which restricts sampling to a part of it: 1 = repaint, 0 = keep.
#[derive(Node)]
#[node(category = "latent/inpaint", display = "Set Latent Noise Mask")]
struct SetLatentNoiseMask {
    samples: Latent,
    /// Of any size: it is resized to the latent.
    mask: Mask,
}

impl Run for SetLatentNoiseMask {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let noise_mask = Some(batched(&self.mask.0)?.unsqueeze(1));
        Ok(Latent { noise_mask, ..self.samples })
    }
}
