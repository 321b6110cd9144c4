use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Mask;

/// Inverts a mask: 1 becomes 0, and 0 becomes 1.
#[derive(Node)]
#[node(category = "mask")]
struct InvertMask {
    mask: Mask,
}

impl Run for InvertMask {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> anyhow::Result<Mask> {
        Ok(Mask(1.0 - self.mask.0))
    }
}
