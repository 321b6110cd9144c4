//! Rectangles on a wire, and pictures cropped to them.

use anyhow::{Result, ensure};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::{CONSTANT, Emit, Field, Misfit, Socket, Value, Widget};
use redraft_engine::node::Run;
use redraft_engine::schema::Kind;
use serde_json::{Value as Json, json};

use super::preview_image::preview;
use crate::ops::resize::picture_size;
use crate::values::Image;

/// A rectangle in pixels. On a wire it is JSON, `{"x": 0, "y": 0, "width": 512, "height": 512}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BoundingBox {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
}

const TYPE: &str = "BOUNDING_BOX";

impl Field for BoundingBox {
    fn kind(_: Widget) -> Kind {
        let default = json!({ "x": 0, "y": 0, "width": 512, "height": 512 });
        Kind::Widget { ty: TYPE.to_owned(), default: Some(default) }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        let json = value.downcast::<Json>().filter(|json| json.is_object());
        let wanted = || Misfit::Type { wanted: TYPE.to_owned(), found: value.type_name().to_owned() };
        let json = json.ok_or_else(wanted)?;
        let side = |name: &str, default: i64| match &json[name] {
            Json::Null => Ok(default),
            number => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)).ok_or_else(|| {
                Misfit::Value(format!("has a '{name}' that is no number; set x, y, width and height in pixels"))
            }),
        };
        Ok(Self { x: side("x", 0)?, y: side("y", 0)?, width: side("width", 512)?, height: side("height", 512)? })
    }
}

impl Emit for BoundingBox {
    const TYPE: &'static str = TYPE;

    fn into_socket(self) -> Socket {
        let Self { x, y, width, height } = self;
        std::rc::Rc::new([Value::new(CONSTANT, json!({ "x": x, "y": y, "width": width, "height": height }))])
    }
}

/// A rectangle.
#[derive(Node)]
#[node(category = "utilities/primitive", display = "Bounding Box")]
struct PrimitiveBoundingBox {
    #[input(default = 0, min = 0, max = 16384)]
    x: i64,
    #[input(default = 0, min = 0, max = 16384)]
    y: i64,
    #[input(default = 512, min = 1, max = 16384)]
    width: i64,
    #[input(default = 512, min = 1, max = 16384)]
    height: i64,
}

impl Run for PrimitiveBoundingBox {
    type Out = BoundingBox;

    fn run(self, _: &mut Cx) -> Result<BoundingBox> {
        let Self { x, y, width, height } = self;
        Ok(BoundingBox { x, y, width, height })
    }
}

/// Crops pictures to a rectangle, and shows them.
#[derive(Node)]
#[node(class = "ImageCropV2", category = "image/transform", display = "Crop Image")]
struct ImageCropTo {
    image: Image,
    /// A rectangle beyond the picture begins in its last column and row.
    crop_region: BoundingBox,
}

impl Run for ImageCropTo {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let (columns, rows) = picture_size(&self.image.0)?;
        let BoundingBox { x, y, width, height } = self.crop_region;
        ensure!(
            x >= 0 && y >= 0 && width > 0 && height > 0,
            "input 'crop_region' is {width} × {height} at {x}, {y}; set a place from 0 on and a size from 1 on"
        );
        let (x, y) = (x.min(columns - 1), y.min(rows - 1));
        let (width, height) = (width.min(columns - x), height.min(rows - y));
        let cropped = Image(self.image.0.narrow(1, y, height).narrow(2, x, width));
        preview(cx, &cropped)?;
        Ok(cropped)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rectangles_are_read_from_json() {
        let read = |json: Json| BoundingBox::from_value(&Value::new("CONSTANT", json));
        assert_eq!(read(json!({ "x": 3, "width": 4.0 })), Ok(BoundingBox { x: 3, y: 0, width: 4, height: 512 }));
        assert!(read(json!([1, 2])).is_err() && read(json!({ "x": "a" })).is_err());
        let socket = BoundingBox { x: 1, y: 2, width: 3, height: 4 }.into_socket();
        assert_eq!(BoundingBox::from_value(&socket[0]), Ok(BoundingBox { x: 1, y: 2, width: 3, height: 4 }));
    }
}
