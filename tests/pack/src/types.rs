//! What the pack's nodes take that no other node does.

use redraft_engine::codec::Codec;
use redraft_engine::io::{Field, Misfit, Value, Widget, Wire};
use redraft_engine::schema::Kind;
use redraft_nodes::values::{Image, Mask};
use serde_json::Value as Json;
use tch::{Device, Kind as Element, Tensor};

/// A list in one value, of any types.
#[derive(Clone, Debug)]
pub(crate) struct Accumulation(pub(crate) Vec<Value>);

impl Wire for Accumulation {
    const TYPE: &'static str = "ACCUMULATION";
    // It may hold values that are no data.
    const CODEC: Codec<Self> = Codec::Recipe;
}

/// What ties the end of a loop to its beginning.
#[derive(Clone, Debug)]
pub(crate) struct FlowControl;

impl Wire for FlowControl {
    const TYPE: &'static str = "FLOW_CONTROL";
    const CODEC: Codec<Self> = Codec::Recipe;
}

/// An input of the type `BOOL`, which the editor does not know: a constant goes to the node as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flag(#[allow(dead_code, reason = "only fingerprints look at it")] pub(crate) bool);

impl Field for Flag {
    fn kind(_: Widget) -> Kind {
        Kind::Widget { ty: "BOOL".to_owned(), default: Some(Json::Bool(false)) }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        Ok(Self(truth(value)))
    }
}

/// An input of the type `IMAGE,FLOAT`, which takes constants.
#[derive(Clone, Debug)]
pub(crate) enum Factor {
    Image(Image),
    Number(f64),
}

impl Field for Factor {
    fn kind(_: Widget) -> Kind {
        Kind::Widget { ty: "IMAGE,FLOAT".to_owned(), default: None }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        if let Some(image) = value.downcast::<Image>() {
            return Ok(Self::Image(image.clone()));
        }
        let constant = value.downcast::<Json>().and_then(Json::as_f64);
        let whole = || value.downcast::<i128>().map(|&whole| whole as f64);
        let number = value.downcast::<f64>().copied().or(constant).or_else(whole);
        let misfit = || Misfit::Type { wanted: "IMAGE,FLOAT".to_owned(), found: value.type_name().to_owned() };
        number.map(Self::Number).ok_or_else(misfit)
    }
}

impl Factor {
    pub(crate) fn times(self, other: Self) -> Image {
        match (self, other) {
            (Self::Image(a), Self::Image(b)) => Image(a.0 * b.0),
            (Self::Image(image), Self::Number(number)) | (Self::Number(number), Self::Image(image)) => {
                Image(image.0 * number)
            }
            (Self::Number(a), Self::Number(b)) => plain_image(a * b),
        }
    }
}

/// A picture of 512 x 512 that has one value everywhere.
pub(crate) fn plain_image(value: f64) -> Image {
    Image(Tensor::full([1, 512, 512, 3], value, (Element::Float, Device::Cpu)))
}

/// Python's `bool(value)`; of a tensor, whether anything in it is not zero.
pub(crate) fn truth(value: &Value) -> bool {
    let any = |tensor: &Tensor| tensor.numel() > 0 && tensor.any().int64_value(&[]) != 0;
    if let Some(Image(tensor)) = value.downcast() {
        return any(tensor);
    }
    if let Some(Mask(tensor)) = value.downcast() {
        return any(tensor);
    }
    match value.shown() {
        Json::Null => false,
        Json::Bool(flag) => flag,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(map) => !map.is_empty(),
    }
}
