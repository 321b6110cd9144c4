use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::Run;

use super::rebatch::rebatched;
use crate::values::Latent;

/// Divides latents into batches of another size. Latents of different width or height do not share a batch.
#[derive(Node)]
#[node(category = "latent/batch", display = "Rebatch Latents")]
struct RebatchLatents {
    latents: List<Latent>,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: List<i64>,
}

impl Run for RebatchLatents {
    type Out = List<Latent>;

    fn run(self, _: &mut Cx) -> anyhow::Result<List<Latent>> {
        let size = self.batch_size.0.first().copied().unwrap_or(1);
        Ok(List(rebatched(&self.latents.0, size)?))
    }
}
