use anyhow::ensure;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::values::{Image, Mask};

/// Takes one channel of a picture as a mask.
#[derive(Node)]
#[node(category = "mask", display = "Convert Image to Mask")]
struct ImageToMask {
    image: Image,
    channel: Channel,
}

#[derive(Clone, Copy, Combo)]
enum Channel {
    Red,
    Green,
    Blue,
    Alpha,
}

impl Run for ImageToMask {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> anyhow::Result<Mask> {
        let (index, have) = (self.channel as i64, self.image.0.size4()?.3);
        ensure!(index < have, "the picture has {have} channels and no alpha; choose another channel");
        Ok(Mask(self.image.0.select(3, index)))
    }
}
