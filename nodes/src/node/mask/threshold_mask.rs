use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Kind;

use crate::values::Mask;

/// Makes a mask that is 1 where the given one is above a value, and 0 elsewhere.
#[derive(Node)]
#[node(category = "mask")]
struct ThresholdMask {
    mask: Mask,
    #[input(default = 0.5, min = 0.0, max = 1.0, step = 0.01, beyond = Both)]
    value: f64,
}

impl Run for ThresholdMask {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> anyhow::Result<Mask> {
        Ok(Mask(self.mask.0.gt(self.value).to_kind(Kind::Float)))
    }
}
