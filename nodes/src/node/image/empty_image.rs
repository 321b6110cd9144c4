use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::memory;
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
    #[input(default = 1, min = 1, max = 4096, beyond = Above)]
    batch_size: i64,
    /// Red, green and blue, eight bits each, as one number: 0xRRGGBB.
    #[input(default = 0, min = 0, max = 0xFF_FFFF, step = 1, beyond = Below)]
    color: i64,
}

impl Run for EmptyImage {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let size = [self.batch_size, self.height, self.width, 3];
        memory::ask(memory::product(&size, 4), "the picture")?;
        let picture = Tensor::empty(size, (Kind::Float, Device::Cpu));
        for (channel, bits) in (0..).zip([16, 8, 0]) {
            let _ = picture.select(-1, channel).fill_((self.color >> bits & 0xFF) as f64 / 255.0);
        }
        Ok(Image(picture))
    }
}
