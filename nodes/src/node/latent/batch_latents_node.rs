use anyhow::Context;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::dynamic::Grow;
use redraft_engine::node::Run;
use tch::Tensor;

use super::{places, resized_to};
use crate::values::Latent;

/// Joins batches of latents. All are cropped and resized to the size of the first. The noise mask of the first stays.
#[derive(Node)]
#[node(category = "latent", display = "Batch Latents")]
struct BatchLatentsNode {
    #[input(prefix = "latent", min = 2, max = 50)]
    latents: Grow<Latent>,
}

impl Run for BatchLatentsNode {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let latents = self.latents.0;
        let first = latents.first().context("there are no latents to batch; connect at least one")?;
        let samples = latents.iter().map(|latent| resized_to(first, latent)).collect::<anyhow::Result<Vec<_>>>()?;
        let batch_index = Some(latents.iter().flat_map(places).collect());
        Ok(Latent { samples: Tensor::cat(&samples, 0), batch_index, ..first.clone() })
    }
}
