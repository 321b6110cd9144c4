use redraft_engine::Combo;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::resize::{Crop, methods, picture_size, resize_pictures};
use crate::values::Image;

methods! {
    /// The methods in the order of this node.
    PadMethod: Area, Bicubic, NearestExact, Bilinear, Lanczos
}

/// Resizes pictures to fit into a rectangle, and pads the rest. The aspect ratio stays.
#[derive(Node)]
#[node(category = "image/transform")]
struct ResizeAndPadImage {
    image: Image,
    /// The rectangle's width in pixels.
    #[input(default = 512, min = 1, max = 16384, step = 1)]
    target_width: i64,
    #[input(default = 512, min = 1, max = 16384, step = 1)]
    target_height: i64,
    padding_color: Padding,
    interpolation: PadMethod,
}

#[derive(Combo)]
enum Padding {
    White,
    Black,
}

impl Run for ResizeAndPadImage {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let Image(image) = self.image;
        let (columns, rows) = picture_size(&image)?;
        let (width, height) = (self.target_width, self.target_height);
        let factor = (width as f64 / columns as f64).min(height as f64 / rows as f64);
        let (new_width, new_height) = ((columns as f64 * factor) as i64, (rows as f64 * factor) as i64);
        let resized = resize_pictures(&image, new_width, new_height, self.interpolation.0, Crop::Disabled)?;
        let (left, top) = ((width - new_width) / 2, (height - new_height) / 2);
        let margins = [0, 0, left, width - new_width - left, top, height - new_height - top];
        let filling = match self.padding_color {
            Padding::White => 1.0,
            Padding::Black => 0.0,
        };
        Ok(Image(resized.pad(margins, "constant", filling)))
    }
}
