//! What travels between nodes, how a field of a node takes it, and how a node gives it.
//!
//! A socket always carries a list of values, usually of one. A node's field says by its type what it wants of that list:
//! `T` one value, `Option<T>` one or nothing, [`List<T>`] all of them.

mod emit;
mod field;
mod plain;
mod value;
mod widget;

pub use emit::{Emit, output_of};
pub use field::{Arg, Args, Field, Inputs, List, Misfit, Rest, Wildcard};
pub use plain::{Combo, combo_from_value, combo_kind};
pub use value::{CONSTANT, Socket, Value, Wire};
pub use widget::{Literal, Widget};

pub use crate::schema::ANY;
