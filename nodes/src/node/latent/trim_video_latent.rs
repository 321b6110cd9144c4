use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Latent;

/// Drops the first frames of a video latent.
#[derive(Node)]
#[node(category = "latent/video")]
struct TrimVideoLatent {
    samples: Latent,
    /// The number of latent frames. In a latent without frames, the number of rows.
    #[input(default = 0, min = 0, max = 99999)]
    trim_amount: i64,
}

impl Run for TrimVideoLatent {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let trimmed = self.samples.samples.slice(2, self.trim_amount, None, 1);
        Ok(self.samples.with_samples(trimmed))
    }
}
