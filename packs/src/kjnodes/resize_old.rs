use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::io::{Field, Misfit, Value, Widget};
use redraft_engine::node::Run;
use redraft_engine::schema::{Control, Kind, Options};
use redraft_engine::{Node, Outputs};
use redraft_nodes::ops::resize::{Crop, ImageMethod, picture_size, resize_pictures};
use redraft_nodes::values::Image;
use serde_json::{Value as Json, json};

use super::sizes::{cut, stretched, within};

/// Resizes pictures. A width or height of 0 is the picture's, or follows from the other. The newer ImageResizeKJv2 does more.
#[derive(Node)]
#[node(category = "KJNodes/image", display = "Resize Image (deprecated)", deprecated)]
struct ImageResizeKJ {
    image: Image,
    #[input(default = 512, min = 0, max = 16384, step = 1)]
    width: i64,
    #[input(default = 512, min = 0, max = 16384, step = 1)]
    height: i64,
    upscale_method: ImageMethod,
    keep_proportion: bool,
    /// Width and height are cut to a multiple of it.
    #[input(default = 2, min = 0, max = 512, step = 1)]
    divisible_by: i64,
    /// Pictures whose size is taken.
    get_image_size: Option<Image>,
    /// Whether what does not fit the new shape is cut off; 0 is as `center`.
    crop: Option<Cropped>,
}

/// `disabled`, `center`, or the number 0, which old workflows have.
struct Cropped(Crop);

impl Field for Cropped {
    fn kind(_: Widget) -> Kind {
        let options = Options::Values(vec![json!("disabled"), json!("center"), json!(0)]);
        Kind::Combo { options, default: None, upload: None, control: Control::Unset }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        let text = value.downcast::<String>().map(String::as_str);
        let constant = value.downcast::<Json>();
        match text.or_else(|| constant.and_then(Json::as_str)) {
            Some("disabled") => Ok(Self(Crop::Disabled)),
            Some("center") => Ok(Self(Crop::Center)),
            None if constant.and_then(Json::as_i64) == Some(0) || value.downcast() == Some(&0_i128) => {
                Ok(Self(Crop::Center))
            }
            _ => Err(Misfit::Value("is none of its choices; use one of disabled, center, 0".to_owned())),
        }
    }
}

#[derive(Outputs)]
struct Resized {
    #[output(name = "IMAGE")]
    image: Image,
    #[output(name = "width")]
    width: i64,
    #[output(name = "height")]
    height: i64,
}

impl Run for ImageResizeKJ {
    type Out = Resized;

    fn run(self, _: &mut Cx) -> Result<Resized> {
        let (columns, rows) = picture_size(&self.image.0)?;
        let (width, height) = match &self.get_image_size {
            Some(Image(image)) => picture_size(image)?,
            None => self.size(columns, rows),
        };
        ensure!(width > 0 && height > 0, "the pictures would become {width} × {height} pixels; set a larger size");
        let crop = self.crop.as_ref().map_or(Crop::Disabled, |crop| crop.0);
        let image = resize_pictures(&self.image.0, width, height, self.upscale_method.0, crop)?;
        let (width, height) = picture_size(&image)?;
        Ok(Resized { image: Image(image), width, height })
    }
}

impl ImageResizeKJ {
    fn size(&self, columns: i64, rows: i64) -> (i64, i64) {
        let size = match (self.keep_proportion, self.width, self.height) {
            (true, 0, 0) => (0, 0),
            (true, width, height) => within((columns, rows), width, height),
            (false, width, height) => stretched((columns, rows), width, height),
        };
        cut(size, self.divisible_by)
    }
}
