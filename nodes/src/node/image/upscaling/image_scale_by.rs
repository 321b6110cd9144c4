use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::resize::{Crop, ImageMethod, picture_size, resize_pictures, scaled};
use crate::values::Image;

/// Resizes pictures by a factor.
#[derive(Node)]
#[node(category = "image/upscaling", display = "Upscale Image By")]
struct ImageScaleBy {
    image: Image,
    upscale_method: ImageMethod,
    #[input(default = 1.0, min = 0.01, max = 8.0, step = 0.01, beyond = Above)]
    scale_by: f64,
}

impl Run for ImageScaleBy {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let Image(image) = self.image;
        let (width, height) = picture_size(&image)?;
        let (width, height) = (scaled(width, self.scale_by), scaled(height, self.scale_by));
        Ok(Image(resize_pictures(&image, width, height, self.upscale_method.0, Crop::Disabled)?))
    }
}
