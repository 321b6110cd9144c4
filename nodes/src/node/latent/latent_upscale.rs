use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::height_and_width;
use crate::ops::resize::{Crop, Method, methods, resize};
use crate::values::Latent;

methods! {
    /// The methods of the latent nodes.
    LatentMethod: NearestExact, Bilinear, Area, Bicubic, Bislerp
}

/// Resizes latents. If one side is 0, it follows from the other by the aspect ratio. If both are 0, the size stays.
#[derive(Node)]
#[node(category = "latent", display = "Upscale Latent")]
struct LatentUpscale {
    samples: Latent,
    upscale_method: LatentMethod,
    /// The pictures' new width in pixels, at least 64.
    #[input(default = 512, min = 0, max = 16384, step = 8, beyond = Below)]
    width: i64,
    /// The pictures' new height in pixels, at least 64.
    #[input(default = 512, min = 0, max = 16384, step = 8, beyond = Below)]
    height: i64,
    crop: Crop,
}

impl Run for LatentUpscale {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        if self.width == 0 && self.height == 0 {
            return Ok(self.samples);
        }
        let (rows, columns) = height_and_width(&self.samples.samples)?;
        let (width, height) = (self.width.max(64), self.height.max(64));
        let matching = |side: i64, of: i64, to: i64| ((side * of) as f64 / to as f64).round_ties_even() as i64;
        let (width, height) = match (self.width, self.height) {
            (0, _) => (matching(columns, height, rows).max(64), height),
            (_, 0) => (width, matching(rows, width, columns).max(64)),
            _ => (width, height),
        };
        let method: Method = self.upscale_method.0;
        Ok(self.samples.with_samples(resize(&self.samples.samples, width / 8, height / 8, method, self.crop)?))
    }
}
