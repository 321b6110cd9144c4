//! What a node returns, and how it becomes what its sockets carry.

use std::rc::Rc;

use crate::flow::Returned;
use crate::io::{ANY, List, Socket, Value, Wildcard, Wire};

/// What a node returns: one wire type, a tuple of them, nothing, or a struct with `#[derive(Outputs)]`; wrapped in
/// [`Expand`](crate::flow::Expand) by nodes that put further nodes in their place, in [`Later`](crate::flow::Later) by
/// nodes that wait.
pub trait Outputs: Sized {
    /// Whether the node may have to be waited for.
    const LATER: bool = false;

    fn declare() -> Vec<crate::schema::Output>;

    fn into_returned(self) -> Returned;
}

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

/// An output named after its type, as ComfyUI does where a node names none.
pub fn output_of<T: Emit>(name: Option<&str>, tooltip: &str) -> crate::schema::Output {
    crate::schema::Output {
        name: name.unwrap_or(T::TYPE).to_owned(),
        ty: T::TYPE.to_owned(),
        is_list: T::LIST,
        tooltip: tooltip.to_owned(),
    }
}

macro_rules! tuple_outputs {
    ($($name:ident)*) => {
        #[allow(non_snake_case)]
        impl<$($name: Emit),*> Outputs for ($($name,)*) {
            fn declare() -> Vec<crate::schema::Output> {
                vec![$(output_of::<$name>(None, "")),*]
            }

            fn into_returned(self) -> Returned {
                let ($($name,)*) = self;
                Returned::Values(vec![$($name.into_socket()),*])
            }
        }
    };
}
tuple_outputs!();
tuple_outputs!(A);
tuple_outputs!(A B);
tuple_outputs!(A B C);
tuple_outputs!(A B C D);
tuple_outputs!(A B C D E);
tuple_outputs!(A B C D E F);

impl<T: Emit> Outputs for T {
    fn declare() -> Vec<crate::schema::Output> {
        vec![output_of::<T>(None, "")]
    }

    fn into_returned(self) -> Returned {
        Returned::Values(vec![self.into_socket()])
    }
}
