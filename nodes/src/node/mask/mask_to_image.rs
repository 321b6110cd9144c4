use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::masks::batched;
use crate::values::{Image, Mask};

/// Converts a mask to a grey picture: 1 is white.
#[derive(Node)]
#[node(category = "mask", display = "Convert Mask to Image")]
struct MaskToImage {
    mask: Mask,
}

impl Run for MaskToImage {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(Image(batched(&self.mask.0)?.unsqueeze(3).expand([-1, -1, -1, 3], false)))
    }
}
