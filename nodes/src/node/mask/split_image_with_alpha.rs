use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::{Image, Mask};

/// Splits pictures into colours and a mask, which is 1 where the picture is transparent.
#[derive(Node)]
#[node(category = "mask/compositing", display = "Split Image with Alpha")]
struct SplitImageWithAlpha {
    image: Image,
}

impl Run for SplitImageWithAlpha {
    type Out = (Image, Mask);

    fn run(self, _: &mut Cx) -> anyhow::Result<(Image, Mask)> {
        let image = self.image.0;
        let channels = image.size4()?.3;
        let alpha = if channels > 3 { image.select(3, 3) } else { image.select(3, 0).ones_like() };
        Ok((Image(image.narrow(3, 0, channels.min(3))), Mask(1.0 - alpha)))
    }
}
