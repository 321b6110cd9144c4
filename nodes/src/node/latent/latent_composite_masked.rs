use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::composite::{PasteOptions, composite};
use crate::values::{Latent, Mask};

/// Pastes latents on others, optionally through a mask.
#[derive(Node)]
#[node(category = "latent")]
struct LatentCompositeMasked {
    destination: Latent,
    source: Latent,
    /// In pixels.
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    x: i64,
    /// In pixels.
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    y: i64,
    /// Whether the source is resized to the destination's size first.
    #[input(default = false)]
    resize_source: bool,
    /// 1 where the source is pasted. It is resized to the source. Without a mask all of the source is pasted.
    mask: Option<Mask>,
}

impl Run for LatentCompositeMasked {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let mask = self.mask.as_ref().map(|mask| &mask.0);
        let options = PasteOptions { x: self.x / 8, y: self.y / 8, resize_source: self.resize_source };
        let samples = composite(&self.destination.samples, &self.source.samples, mask, options);
        Ok(self.destination.with_samples(samples))
    }
}
