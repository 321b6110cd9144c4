use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::third_and_fourth;
use crate::values::Latent;

/// Cuts a rectangle out of latents. It begins at least 64 pixels before the end, and ends where the latent ends.
#[derive(Node)]
#[node(category = "latent/transform", display = "Crop Latent")]
struct LatentCrop {
    samples: Latent,
    /// In pixels, as the others.
    #[input(default = 512, min = 64, max = 16384, step = 8)]
    width: i64,
    #[input(default = 512, min = 64, max = 16384, step = 8)]
    height: i64,
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    x: i64,
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    y: i64,
}

impl Run for LatentCrop {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let samples = &self.samples.samples;
        let (rows, columns) = third_and_fourth(samples)?;
        // In latents of less than 8 places the start is negative, which counts from the end, as in the reference.
        let (x, y) = ((self.x / 8).min(columns - 8), (self.y / 8).min(rows - 8));
        let cut = samples.slice(2, y, y + self.height / 8, 1).slice(3, x, x + self.width / 8, 1);
        Ok(self.samples.with_samples(cut))
    }
}
