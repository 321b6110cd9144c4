use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::channels::matched;
use crate::ops::composite::{PasteOptions, composite};
use crate::values::{Image, Mask};

/// Pastes one picture on another, optionally through a mask.
#[derive(Node)]
#[node(category = "image")]
struct ImageCompositeMasked {
    /// The picture that is pasted on.
    destination: Image,
    /// The picture that is pasted. Its alpha has no effect.
    source: Image,
    /// Where the source's left edge goes, in pixels.
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    x: i64,
    /// Where the source's top edge goes, in pixels.
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    y: i64,
    /// Whether the source is resized to the destination's size first.
    #[input(default = false)]
    resize_source: bool,
    /// 1 where the source is pasted, 0 where the destination stays. It is resized to the source. Without a mask all of
    /// the source is pasted.
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
