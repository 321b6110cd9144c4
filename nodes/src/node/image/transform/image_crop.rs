use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::resize::picture_size;
use crate::values::Image;

/// Crops pictures to a rectangle.
#[derive(Node)]
#[node(category = "image/transform", display = "Image Crop")]
struct ImageCrop {
    image: Image,
    /// The width in pixels. It is less if the picture ends before.
    #[input(default = 512, min = 1, max = 16384, step = 1)]
    width: i64,
    #[input(default = 512, min = 1, max = 16384, step = 1)]
    height: i64,
    /// The left edge in pixels. A number beyond the picture means the last column.
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    x: i64,
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    y: i64,
}

impl Run for ImageCrop {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let Image(image) = self.image;
        let (columns, rows) = picture_size(&image)?;
        let (x, y) = (self.x.min(columns - 1), self.y.min(rows - 1));
        let (width, height) = (self.width.min(columns - x), self.height.min(rows - y));
        Ok(Image(image.narrow(1, y, height).narrow(2, x, width)))
    }
}
