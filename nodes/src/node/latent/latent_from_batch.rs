use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::repeat_latent_batch::masks_for_batch;
use crate::values::Latent;

/// Takes consecutive latents out of a batch. They keep their batch indices, so that they get the same noise as in the
/// whole batch.
#[derive(Node)]
#[node(category = "latent/batch", display = "Latent From Batch")]
struct LatentFromBatch {
    samples: Latent,
    /// The first latent that is taken, counted from 0. A number beyond the end means the last one.
    #[input(default = 0, min = 0, max = 63, beyond = Above)]
    batch_index: i64,
    /// How many latents are taken. There are fewer if the batch ends before.
    #[input(default = 1, min = 1, max = 64, beyond = Above)]
    length: i64,
}

impl Run for LatentFromBatch {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let Latent { samples, noise_mask, batch_index, memories } = self.samples;
        let count = samples.size()[0];
        let start = self.batch_index.min(count - 1);
        let length = self.length.min(count - start);
        let places = match batch_index {
            None => (start..start + length).collect(),
            Some(places) => places.into_iter().skip(start as usize).take(length as usize).collect(),
        };
        let noise_mask = noise_mask.map(|mask| match mask.size()[0] {
            1 => mask,
            _ => masks_for_batch(&mask, count).narrow(0, start, length).contiguous(),
        });
        let samples = samples.narrow(0, start, length).contiguous();
        Ok(Latent { samples, noise_mask, batch_index: Some(places), memories })
    }
}
