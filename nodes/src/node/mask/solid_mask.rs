use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Device, Kind, Tensor};

use crate::values::Mask;

/// Makes a mask of one value.
#[derive(Node)]
#[node(category = "mask")]
struct SolidMask {
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01, beyond = Both)]
    value: f64,
    /// Width in pixels.
    #[input(default = 512, min = 1, max = 16384, step = 1)]
    width: i64,
    /// Height in pixels.
    #[input(default = 512, min = 1, max = 16384, step = 1)]
    height: i64,
}

impl Run for SolidMask {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> anyhow::Result<Mask> {
        Ok(Mask(Tensor::full([1, self.height, self.width], self.value, (Kind::Float, Device::Cpu))))
    }
}
