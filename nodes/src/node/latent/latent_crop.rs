use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::third_and_fourth;
use crate::values::Latent;

/// Crops latents to a rectangle. It starts at least 64 pixels before the end of the latent, and ends with the latent at
/// the latest.
#[derive(Node)]
#[node(category = "latent/transform", display = "Crop Latent")]
struct LatentCrop {
    samples: Latent,
    /// In pixels; so are height, x and y.
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
        // In latents with less than 8 pixels a side the start is negative, and so counts from the end, as in ComfyUI.
        let (x, y) = ((self.x / 8).min(columns - 8), (self.y / 8).min(rows - 8));
        let cut = samples.slice(2, y, y + self.height / 8, 1).slice(3, x, x + self.width / 8, 1);
        Ok(self.samples.with_samples(cut))
    }
}
