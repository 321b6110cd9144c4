use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::ops::masks::resized;
use crate::values::{Image, Mask};

/// Adds a mask to pictures as their transparency: where the mask is 1, the picture is transparent.
#[derive(Node)]
#[node(category = "mask/compositing", display = "Join Image with Alpha")]
struct JoinImageWithAlpha {
    image: Image,
    /// The mask. It is resized to the pictures.
    alpha: Mask,
}

impl Run for JoinImageWithAlpha {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let (pictures, height, width, channels) = self.image.0.size4()?;
        let alpha: Tensor = 1.0 - resized(&self.alpha.0, height, width)?;
        let count = pictures.min(alpha.size3()?.0);
        let colours = self.image.0.narrow(0, 0, count).narrow(3, 0, channels.min(3));
        Ok(Image(Tensor::cat(&[colours, alpha.narrow(0, 0, count).unsqueeze(3)], 3)))
    }
}
