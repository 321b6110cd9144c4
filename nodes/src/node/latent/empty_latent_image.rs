use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Latent;

/// Makes latents of zeros, from which text2image starts.
#[derive(Node)]
#[node(category = "latent", display = "Empty Latent Image")]
struct EmptyLatentImage {
    /// The pictures' width in pixels; rounded down to a multiple of 8.
    #[input(default = 512, min = 16, max = 16384, step = 8)]
    width: i64,
    /// The pictures' height in pixels; rounded down to a multiple of 8.
    #[input(default = 512, min = 16, max = 16384, step = 8)]
    height: i64,
    /// Latents in the batch.
    #[input(default = 1, min = 1, max = 4096, beyond = Above)]
    batch_size: i64,
}

impl Run for EmptyLatentImage {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let shape = [self.batch_size, 4, self.height / 8, self.width / 8];
        Ok(Latent::zeros(&shape)?)
    }
}
