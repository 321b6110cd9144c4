use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::memory;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::values::Latent;

/// Repeats a batch of latents. If it has batch indices, those of each repetition continue from the previous one's.
#[derive(Node)]
#[node(category = "latent/batch", display = "Repeat Latent Batch")]
struct RepeatLatentBatch {
    samples: Latent,
    /// The number of repetitions.
    #[input(default = 1, min = 1, max = 64, beyond = Above)]
    amount: i64,
}

impl Run for RepeatLatentBatch {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let latent = self.samples;
        let count = latent.batch_index.as_ref().map_or(0, Vec::len) as i64;
        memory::ask(memory::product(&[self.amount, count], 8), "the batch")?;
        memory::ask(memory::product(&[self.amount, latent.samples.numel() as i64], 4), "the batch")?;
        let batch_index = latent.batch_index.map(|indices| {
            let span = indices.iter().max().unwrap_or(&0) - indices.iter().min().unwrap_or(&0) + 1;
            let moved = |n: i64| indices.iter().map(move |index| index.saturating_add(n.saturating_mul(span)));
            (0..self.amount).flat_map(moved).collect()
        });
        // A single mask serves the whole batch.
        let noise_mask = latent.noise_mask.map(|mask| match mask.size()[0] {
            1 => mask,
            _ => repeat(&mask, self.amount),
        });
        Ok(Latent { samples: repeat(&latent.samples, self.amount), noise_mask, batch_index, memories: latent.memories })
    }
}

/// The batch repeated `amount` times. Works for any number of dimensions.
fn repeat(batch: &Tensor, amount: i64) -> Tensor {
    let mut times = vec![1; batch.dim()];
    times[0] = amount;
    batch.repeat(times)
}

/// As many masks as the batch has members. If there are too few, they are repeated.
pub(super) fn masks_for_batch(masks: &Tensor, count: i64) -> Tensor {
    let have = masks.size()[0];
    if have >= count { masks.shallow_clone() } else { repeat(masks, (count + have - 1) / have).narrow(0, 0, count) }
}
