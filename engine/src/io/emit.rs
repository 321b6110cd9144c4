//! How a value becomes what a socket carries.

use std::rc::Rc;

use crate::io::field::{List, Wildcard};
use crate::io::value::{Socket, Value, Wire};
use crate::schema::ANY;

/// One output of a node: a value, or a whole list of them.
pub trait Emit {
    const TYPE: &'static str;
    const LIST: bool = false;
    fn into_socket(self) -> Socket;
}

impl<T: Wire> Emit for T {
    const TYPE: &'static str = T::TYPE;

    fn into_socket(self) -> Socket {
        Rc::new([Value::wire(self)])
    }
}

impl Emit for Wildcard {
    const TYPE: &'static str = ANY;

    fn into_socket(self) -> Socket {
        Rc::new([self.0])
    }
}

impl<T: Emit> Emit for List<T> {
    const TYPE: &'static str = T::TYPE;
    const LIST: bool = true;

    fn into_socket(self) -> Socket {
        self.0.into_iter().flat_map(|value| value.into_socket().to_vec()).collect()
    }
}

macro_rules! plain_emit {
    ($($ty:ty: $name:literal, $stored:ty);*) => { $(impl Emit for $ty {
        const TYPE: &'static str = $name;
        fn into_socket(self) -> Socket { Rc::new([Value::new($name, <$stored>::from(self))]) }
    })* };
}
plain_emit!(i128: "INT", i128; u64: "INT", i128; i64: "INT", i128; u32: "INT", i128; f64: "FLOAT", f64; bool: "BOOLEAN", bool; String: "STRING", String);

/// Declares an output. Without a name it is named after its type, as in ComfyUI.
pub fn output_of<T: Emit>(name: Option<&str>, tooltip: &str) -> crate::schema::Output {
    crate::schema::Output {
        name: name.unwrap_or(T::TYPE).to_owned(),
        ty: T::TYPE.to_owned(),
        is_list: T::LIST,
        tooltip: tooltip.to_owned(),
    }
}
