use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::resize::{Crop, ImageMethod, picture_size, resize_pictures, with_kept_shape};
use crate::values::Image;

/// Resizes pictures.
#[derive(Node)]
#[node(category = "image/upscaling", display = "Upscale Image")]
struct ImageScale {
    image: Image,
    upscale_method: ImageMethod,
    /// In pixels. 0 keeps the aspect ratio; if both width and height are 0, the size stays.
    #[input(default = 512, min = 0, max = 16384, step = 1)]
    width: i64,
    #[input(default = 512, min = 0, max = 16384, step = 1)]
    height: i64,
    /// How a change of the aspect ratio is made: `disabled` stretches pictures, `center` crops them.
    crop: Crop,
}

impl Run for ImageScale {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        if self.width == 0 && self.height == 0 {
            return Ok(self.image);
        }
        let Image(image) = self.image;
        let (width, height) = with_kept_shape(picture_size(&image)?, self.width, self.height);
        Ok(Image(resize_pictures(&image, width, height, self.upscale_method.0, self.crop)?))
    }
}
