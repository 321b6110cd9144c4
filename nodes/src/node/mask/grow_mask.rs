use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::masks::{batched, grown};
use crate::values::Mask;

/// Grows a mask by a number of pixels, or shrinks it if the number is negative.
#[derive(Node)]
#[node(category = "mask", display = "Grow Mask")]
struct GrowMask {
    mask: Mask,
    /// The number of pixels.
    #[input(default = 0, min = -16384, max = 16384, step = 1, beyond = Below)]
    expand: i64,
    /// Whether a single pixel grows to a diamond instead of a square.
    #[input(default = true)]
    tapered_corners: bool,
}

impl Run for GrowMask {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> anyhow::Result<Mask> {
        Ok(Mask(grown(&batched(&self.mask.0)?, self.expand, self.tapered_corners)?))
    }
}
