use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Device, Kind, Tensor};

use crate::values::Image;

/// Makes pictures of one colour.
#[derive(Node)]
#[node(category = "image")]
struct EmptyImage {
    #[input(default = 512, min = 1, max = 16384, step = 1)]
    width: i64,
    #[input(default = 512, min = 1, max = 16384, step = 1)]
    height: i64,
    /// Pictures in the batch.
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
    /// Red, green and blue, eight bits each, as one number: 0xRRGGBB.
    #[input(default = 0, min = 0, max = 0xFF_FFFF, step = 1)]
    color: i64,
}

impl Run for EmptyImage {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let channel = |bits: u32| {
            let value = (self.color >> bits & 0xFF) as f64 / 255.0;
            Tensor::full([self.batch_size, self.height, self.width, 1], value, (Kind::Float, Device::Cpu))
        };
        Ok(Image(Tensor::cat(&[channel(16), channel(8), channel(0)], -1)))
    }
}
