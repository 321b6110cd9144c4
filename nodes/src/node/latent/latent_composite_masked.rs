use anyhow::bail;
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
    #[input(default = 0, min = 0, max = 16384, step = 8, beyond = Below)]
    x: i64,
    /// In pixels.
    #[input(default = 0, min = 0, max = 16384, step = 8, beyond = Below)]
    y: i64,
    /// Whether the source is resized to the destination's size first.
    #[input(default = false)]
    resize_source: bool,
    /// 1 where the source is pasted. It is resized to the source. Without a mask all of the source is pasted.
    mask: Option<Mask>,
}

impl LatentCompositeMasked {
    /// Whether all of the source lies to the left of the destination, or above it. A link may give such a place.
    ///
    /// # Errors
    /// If only a part of it does: ComfyUI stops there, too.
    fn lies_outside(&self) -> anyhow::Result<bool> {
        let size = self.source.samples.size();
        let side = |from_end: usize| size.len().checked_sub(from_end).map_or(0, |at| size[at] * 8);
        let before = [("x", self.x, side(1)), ("y", self.y, side(2))].into_iter().filter(|(_, at, _)| *at < 0);
        if !self.resize_source && before.clone().any(|(_, at, side)| at <= -side) {
            return Ok(true);
        }
        if let Some((name, at, _)) = before.into_iter().next() {
            bail!(
                "input '{name}' is {at}, outside of 0 to 16384, and a part of the source lies there; link a value within"
            );
        }
        Ok(false)
    }
}

impl Run for LatentCompositeMasked {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        if self.lies_outside()? {
            return Ok(self.destination);
        }
        let mask = self.mask.as_ref().map(|mask| &mask.0);
        let options = PasteOptions { x: self.x / 8, y: self.y / 8, resize_source: self.resize_source };
        let samples = composite(&self.destination.samples, &self.source.samples, mask, options);
        Ok(self.destination.with_samples(samples))
    }
}
