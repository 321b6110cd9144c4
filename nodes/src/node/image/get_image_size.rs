use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use crate::ops::resize::picture_size;
use crate::values::Image;

/// Gives the width and height of pictures, and their number.
#[derive(Node)]
#[node(category = "image", display = "Get Image Size", hidden("unique_id"))]
struct GetImageSize {
    image: Image,
}

#[derive(Outputs)]
struct Size {
    #[output(name = "width")]
    width: i64,
    #[output(name = "height")]
    height: i64,
    #[output(name = "batch_size")]
    batch_size: i64,
}

impl Run for GetImageSize {
    type Out = Size;

    fn run(self, _: &mut Cx) -> anyhow::Result<Size> {
        let (width, height) = picture_size(&self.image.0)?;
        Ok(Size { width, height, batch_size: self.image.0.size()[0] })
    }
}
