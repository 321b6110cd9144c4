use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Image;

/// Inverts all channels of pictures, alpha included.
#[derive(Node)]
#[node(category = "image", display = "Invert Image")]
struct ImageInvert {
    image: Image,
}

impl Run for ImageInvert {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(Image(1.0 - self.image.0))
    }
}
