use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::height_and_width;
use super::latent_upscale::LatentMethod;
use crate::ops::resize::{Crop, resize, scaled};
use crate::values::Latent;

/// Resizes latents by a factor.
#[derive(Node)]
#[node(category = "latent", display = "Upscale Latent By")]
struct LatentUpscaleBy {
    samples: Latent,
    upscale_method: LatentMethod,
    #[input(default = 1.5, min = 0.01, max = 8.0, step = 0.01, beyond = Above)]
    scale_by: f64,
}

impl Run for LatentUpscaleBy {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let (rows, columns) = height_and_width(&self.samples.samples)?;
        let (width, height) = (scaled(columns, self.scale_by), scaled(rows, self.scale_by));
        let samples = resize(&self.samples.samples, width, height, self.upscale_method.0, Crop::Disabled)?;
        Ok(self.samples.with_samples(samples))
    }
}
