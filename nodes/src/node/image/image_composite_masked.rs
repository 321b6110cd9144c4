use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::channels::matched;
use crate::ops::composite::{PasteOptions, composite};
use crate::values::{Image, Mask};

/// Lays a picture over another.
#[derive(Node)]
#[node(category = "image")]
struct ImageCompositeMasked {
    /// What is covered.
    destination: Image,
    /// What covers it; its alpha has no effect.
    source: Image,
    /// Where the source's left edge lies.
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    x: i64,
    /// Where the source's upper edge lies.
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    y: i64,
    /// Stretches the source to the destination's size.
    #[input(default = false)]
    resize_source: bool,
    /// Where the source shows (1) and where the destination does (0), stretched over the source. The source everywhere, if
    /// nothing is connected.
    mask: Option<Mask>,
}

impl Run for ImageCompositeMasked {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let source = matched(&self.source.0, &self.destination.0).movedim_int(-1, 1);
        let destination = self.destination.0.movedim_int(-1, 1);
        let options = PasteOptions { x: self.x, y: self.y, resize_source: self.resize_source };
        let mask = self.mask.map(|mask| mask.0);
        Ok(Image(composite(&destination, &source, mask.as_ref(), options).movedim_int(1, -1)))
    }
}
