use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::resize::{Crop, ImageMethod, picture_size, resize_pictures};
use crate::values::Image;

/// Resizes pictures to a total number of pixels. The aspect ratio stays.
#[derive(Node)]
#[node(category = "image/upscaling")]
struct ImageScaleToTotalPixels {
    image: Image,
    upscale_method: ImageMethod,
    /// In units of 1024 × 1024 pixels.
    #[input(default = 1.0, min = 0.01, max = 16.0, step = 0.01, beyond = Above)]
    megapixels: f64,
    /// Width and height are rounded to multiples of this.
    #[input(default = 1, min = 1, max = 256)]
    resolution_steps: i64,
}

impl Run for ImageScaleToTotalPixels {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let Image(image) = self.image;
        let (width, height) = picture_size(&image)?;
        let factor = (self.megapixels * 1024.0 * 1024.0 / (width * height) as f64).sqrt();
        let steps = self.resolution_steps;
        let rounded = |side: i64| (side as f64 * factor / steps as f64).round_ties_even() as i64 * steps;
        let method = self.upscale_method.0;
        Ok(Image(resize_pictures(&image, rounded(width), rounded(height), method, Crop::Disabled)?))
    }
}
