use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Kind;

use crate::values::{Image, Mask};

/// Makes a mask that is 1 where a picture has exactly the given colour.
#[derive(Node)]
#[node(category = "mask")]
struct ImageColorToMask {
    image: Image,
    /// Red · 65536 + green · 256 + blue, each 0 to 255.
    #[input(default = 0, min = 0, max = 0xFFFFFF, step = 1, beyond = Below)]
    color: i64,
}

impl Run for ImageColorToMask {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> anyhow::Result<Mask> {
        let bytes = (self.image.0.clamp(0.0, 1.0) * 255.0).round().to_kind(Kind::Int);
        let channel = |index: i64, weight: i64| bytes.select(3, index) * weight;
        let colours = channel(0, 1 << 16) + channel(1, 1 << 8) + channel(2, 1);
        Ok(Mask(colours.eq(self.color).to_kind(Kind::Float)))
    }
}
