use std::rc::Rc;

use redraft_engine::codec::Codec;
use redraft_engine::io::{CONSTANT, Field, Misfit, Value, Widget, Wire};
use redraft_engine::results_file::{WIRE_TABLES, WireType};
use redraft_engine::schema::Kind;
use serde_json::Value as Json;

redraft_engine::add_rows!(WIRE_TABLES: WireType = [WireType::of::<PyList>()]);

/// A list of values that is one value.
#[derive(Clone, Debug)]
pub(super) struct PyList(pub(super) Rc<[Value]>);

impl Wire for PyList {
    const TYPE: &'static str = "LIST";
    const CODEC: Codec<Self> = Codec::Recipe;

    fn bytes(&self) -> usize {
        self.0.iter().map(Value::bytes).sum()
    }

    fn describe(&self) -> String {
        format!("LIST of {}", self.0.len())
    }
}

/// The values of a list: one that a node has made, or one of texts and numbers, which is JSON.
pub(super) struct Members(pub(super) Vec<Value>);

impl Field for Members {
    fn kind(_: Widget) -> Kind {
        Kind::Socket(PyList::TYPE.to_owned())
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        if let Some(list) = value.downcast::<PyList>() {
            return Ok(Self(list.0.to_vec()));
        }
        match value.downcast::<Json>() {
            Some(Json::Array(members)) => Ok(Self(members.iter().map(member).collect())),
            _ => Err(Misfit::Type { wanted: PyList::TYPE.to_owned(), found: value.type_name().to_owned() }),
        }
    }
}

fn member(json: &Json) -> Value {
    match json {
        Json::String(text) => Value::new("STRING", text.clone()),
        other => Value::new(CONSTANT, other.clone()),
    }
}
