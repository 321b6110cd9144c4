use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::resize::{Crop, methods, picture_size, resize_pictures, with_longer_side};
use crate::values::Image;

methods! {
    /// The methods in the order of this node. ComfyUI lists one of them twice, and so does this.
    MaxDimensionMethod: Area, Lanczos, Bilinear, NearestExact, Bilinear, Bicubic
}

/// Resizes pictures so that their longer side has a given length. The aspect ratio stays.
#[derive(Node)]
#[node(category = "image/upscaling")]
struct ImageScaleToMaxDimension {
    image: Image,
    upscale_method: MaxDimensionMethod,
    /// The longer side in pixels.
    #[input(default = 512, min = 0, max = 16384, step = 1)]
    largest_size: i64,
}

impl Run for ImageScaleToMaxDimension {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let Image(image) = self.image;
        let (width, height) = with_longer_side(picture_size(&image)?, self.largest_size);
        Ok(Image(resize_pictures(&image, width, height, self.upscale_method.0, Crop::Disabled)?))
    }
}
