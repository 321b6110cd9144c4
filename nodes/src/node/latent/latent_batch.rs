use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::{places, resized_to};
use crate::values::Latent;

/// Joins two batches of latents. The second is resized to the size of the first.
#[derive(Node)]
#[node(category = "latent/batch", deprecated)]
struct LatentBatch {
    samples1: Latent,
    samples2: Latent,
}

impl Run for LatentBatch {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let samples = Tensor::cat(&[&self.samples1.samples, &resized_to(&self.samples1, &self.samples2)?], 0);
        let batch_index = places(&self.samples1).chain(places(&self.samples2)).collect();
        Ok(Latent { samples, batch_index: Some(batch_index), ..self.samples1 })
    }
}
