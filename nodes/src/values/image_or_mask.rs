//! A socket that takes pictures or masks, and an output that gives what it took.

use redraft_engine::io::{Emit, Field, Misfit, Socket, Value, Widget};
use redraft_engine::schema::Kind;

use super::{Image, Mask};

/// Pictures or masks.
#[derive(Clone, Debug)]
pub enum ImageOrMask {
    Image(Image),
    Mask(Mask),
}

impl Field for ImageOrMask {
    fn kind(_: Widget) -> Kind {
        Kind::Socket("IMAGE,MASK".to_owned())
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        let image = value.downcast().cloned().map(Self::Image);
        image
            .or_else(|| value.downcast().cloned().map(Self::Mask))
            .ok_or_else(|| Misfit::Type { wanted: "IMAGE or MASK".to_owned(), found: value.type_name().to_owned() })
    }
}

impl Emit for ImageOrMask {
    /// Of the type that an input of the same node was given.
    const TYPE: &'static str = "COMFY_MATCHTYPE_V3";

    fn into_socket(self) -> Socket {
        match self {
            Self::Image(image) => image.into_socket(),
            Self::Mask(mask) => mask.into_socket(),
        }
    }
}
