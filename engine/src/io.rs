//! What travels between nodes, and how a field of a node takes it. How a node gives it: `outputs.rs`.
//!
//! A socket always carries a list of values, usually of one. A node's field says by its type what it wants of that list:
//! `T` one value, `Option<T>` one or nothing, [`List<T>`] all of them.

use std::any::Any;
use std::fmt;
use std::rc::Rc;

use serde_json::Value as Json;

use crate::node::Args;
pub use crate::outputs::{Emit, Outputs, output_of};
use crate::schema::{Control, Kind, Options, Upload};

/// A value on a wire. Cloning it shares it; nobody changes a value that has left its node.
#[derive(Clone)]
pub struct Value {
    ty: &'static str,
    inner: Rc<dyn Any>,
    bytes: fn(&dyn Any) -> usize,
    describe: fn(&dyn Any) -> String,
}

/// What one output socket carries: a list of values, usually of one.
pub type Socket = Rc<[Value]>;

/// What stands where there is no value.
struct Nothing;

impl Value {
    /// A plain value: `i128` under `INT`, `f64`, `bool`, `String`, JSON.
    pub fn new<T: Any>(ty: &'static str, value: T) -> Self {
        Self { ty, inner: Rc::new(value), bytes: |_| 0, describe: |_| String::new() }
    }

    pub fn wire<T: Wire>(value: T) -> Self {
        Self {
            ty: T::TYPE,
            inner: Rc::new(value),
            bytes: |any| any.downcast_ref().map_or(0, T::bytes),
            describe: |any| any.downcast_ref().map(T::describe).unwrap_or_default(),
        }
    }

    /// What an input gets whose source gave nothing: Python's `None`.
    pub fn nothing() -> Self {
        Self::new("NONE", Nothing)
    }

    pub fn is_nothing(&self) -> bool {
        self.downcast::<Nothing>().is_some()
    }

    /// The wire type's name, `LATENT`.
    pub fn type_name(&self) -> &'static str {
        self.ty
    }

    pub fn downcast<T: Any>(&self) -> Option<&T> {
        self.inner.downcast_ref()
    }

    /// About how much memory it holds, in bytes. What it shares with others counts in each.
    pub fn bytes(&self) -> usize {
        (self.bytes)(&*self.inner)
    }

    /// The value as error reports show it: numbers, flags and texts as they are, of anything else a word.
    pub fn shown(&self) -> Json {
        if self.is_nothing() {
            return Json::Null;
        }
        let integer = self.downcast::<i128>().map(|&int| crate::schema::integer(int));
        let float = || self.downcast::<f64>().map(|float| Json::from(*float));
        let flag = || self.downcast::<bool>().map(|flag| Json::from(*flag));
        let text = || self.downcast::<String>().map(|text| Json::from(text.as_str()));
        let plain = integer.or_else(float).or_else(flag).or_else(text).or_else(|| self.downcast::<Json>().cloned());
        plain.unwrap_or_else(|| match (self.describe)(&*self.inner) {
            words if words.is_empty() => Json::from(self.ty),
            words => Json::from(words),
        })
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ty)
    }
}

/// A type that travels between nodes under a name of ComfyUI's. Cloning must be cheap: share, do not copy.
pub trait Wire: Any + Clone {
    const TYPE: &'static str;

    /// About how much memory it holds, in bytes, for caches that must make room.
    fn bytes(&self) -> usize {
        0
    }

    /// What error reports say of it, such as `IMAGE 1 x 512 x 512 x 3`.
    fn describe(&self) -> String {
        Self::TYPE.to_owned()
    }
}

/// The type name of a constant that was given to a socket, which takes none.
pub const CONSTANT: &str = "CONSTANT";

/// What a node's input holds when the node is called.
#[derive(Clone, Debug)]
pub enum Arg {
    /// Nothing is connected and nothing was set.
    Absent,
    /// Something is connected to a lazy input, and was not asked for yet.
    Later,
    One(Value),
    /// The whole list, for nodes that take lists.
    All(Socket),
}

/// Why an input could not be taken; the caller adds node and input.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Misfit {
    #[error("is missing; connect it or set a value")]
    Missing,
    #[error("wants {wanted} but was given {found}; connect an output of type {wanted}")]
    Type { wanted: String, found: String },
    #[error("{0}")]
    Value(String),
}

/// A type that a node's field may have.
pub trait Field: Sized {
    /// Whether the input may stay unconnected.
    const OPTIONAL: bool = false;
    /// Whether the field takes the socket's whole list.
    const LIST: bool = false;
    /// Whether the input is pulled in only when the node asks for it.
    const LAZY: bool = false;
    /// Whether the field takes the link instead of what comes over it.
    const RAW: bool = false;

    /// The input's kind, from the options in the node's declaration.
    fn kind(widget: Widget) -> Kind;

    fn from_value(value: &Value) -> Result<Self, Misfit>;

    fn from_arg(arg: Arg) -> Result<Self, Misfit> {
        match arg {
            Arg::Absent | Arg::Later => Err(Misfit::Missing),
            Arg::One(value) => Self::from_value(&value),
            Arg::All(list) => list.first().ok_or(Misfit::Missing).and_then(Self::from_value),
        }
    }

    /// As [`from_arg`](Self::from_arg), for fields that must know what their input is called.
    fn from_input(_name: &str, arg: Arg) -> Result<Self, Misfit> {
        Self::from_arg(arg)
    }

    /// Takes what the input `name` stands for out of a call's inputs: normally the one of that name.
    fn take(args: &mut Args, name: &str) -> anyhow::Result<Self> {
        Self::from_input(name, args.remove(name)).map_err(|misfit| anyhow::anyhow!("input '{name}' {misfit}"))
    }
}

/// A field that takes the whole list of its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: Field> Field for List<T> {
    const OPTIONAL: bool = T::OPTIONAL;
    const LIST: bool = true;

    fn kind(widget: Widget) -> Kind {
        T::kind(widget)
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        T::from_value(value).map(|one| Self(vec![one]))
    }

    fn from_arg(arg: Arg) -> Result<Self, Misfit> {
        match arg {
            Arg::Absent if T::OPTIONAL => Ok(Self(Vec::new())),
            Arg::Absent | Arg::Later => Err(Misfit::Missing),
            Arg::One(value) => Self::from_value(&value),
            Arg::All(list) => list.iter().map(T::from_value).collect::<Result<_, _>>().map(Self),
        }
    }
}

impl<T: Field> Field for Option<T> {
    const OPTIONAL: bool = true;
    const LIST: bool = T::LIST;
    const LAZY: bool = T::LAZY;
    const RAW: bool = T::RAW;

    fn kind(widget: Widget) -> Kind {
        T::kind(widget)
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        if value.is_nothing() { Ok(None) } else { T::from_value(value).map(Some) }
    }

    fn from_arg(arg: Arg) -> Result<Self, Misfit> {
        match arg {
            Arg::Absent => Ok(None),
            Arg::Later if !T::LAZY => Ok(None),
            Arg::One(value) if value.is_nothing() => Ok(None),
            arg => T::from_arg(arg).map(Some),
        }
    }

    fn from_input(name: &str, arg: Arg) -> Result<Self, Misfit> {
        match arg {
            Arg::Later if T::LAZY => T::from_input(name, arg).map(Some),
            arg => Self::from_arg(arg),
        }
    }
}

impl<T: Wire> Field for T {
    fn kind(_: Widget) -> Kind {
        Kind::Socket(T::TYPE.to_owned())
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        value.downcast::<T>().cloned().ok_or_else(|| mismatch(T::TYPE, value))
    }
}

/// A value of any type, handed on or looked at as it is: a `*` socket.
#[derive(Clone, Debug)]
pub struct Wildcard(pub Value);

/// The name of the type that fits every other.
pub const ANY: &str = "*";

impl Field for Wildcard {
    fn kind(_: Widget) -> Kind {
        Kind::Socket(ANY.to_owned())
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        Ok(Self(value.clone()))
    }
}

fn mismatch(wanted: &str, value: &Value) -> Misfit {
    let found = match value.downcast::<Json>() {
        Some(constant) => format!("the constant {constant}"),
        None => value.type_name().to_owned(),
    };
    Misfit::Type { wanted: wanted.to_owned(), found }
}

/// A constant in a node's declaration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    Int(i128),
    Float(f64),
    Bool(bool),
    Text(&'static str),
}

macro_rules! literal_from {
    ($variant:ident: $($from:ty),*) => { $(impl From<$from> for Literal {
        fn from(value: $from) -> Self { Self::$variant(value.into()) }
    })* };
}
literal_from!(Int: i32, u32, i64, u64, i128);
literal_from!(Float: f32, f64);
literal_from!(Bool: bool);
literal_from!(Text: &'static str);

impl Literal {
    fn int(self) -> Option<i128> {
        match self {
            Self::Int(v) => Some(v),
            _ => None,
        }
    }

    fn float(self) -> Option<f64> {
        match self {
            Self::Int(v) => Some(v as f64),
            Self::Float(v) => Some(v),
            _ => None,
        }
    }

    fn text(self) -> Option<&'static str> {
        match self {
            Self::Text(v) => Some(v),
            _ => None,
        }
    }
}

/// The options that `#[input(...)]` may give, under ComfyUI's names.
#[derive(Clone, Debug, Default)]
pub struct Widget {
    pub default: Option<Literal>,
    pub min: Option<Literal>,
    pub max: Option<Literal>,
    pub step: Option<Literal>,
    pub round: Option<Literal>,
    pub control_after_generate: Control,
    pub multiline: bool,
    pub dynamic_prompts: bool,
    /// The choices are the files of this folder.
    pub files: Option<&'static str>,
    /// Choices besides the files.
    pub besides: &'static [&'static str],
    pub upload: Option<Upload>,
    /// How the sockets of a [`Grow`](crate::dynamic::Grow) are named; a number follows.
    pub prefix: Option<&'static str>,
}

macro_rules! integer_field {
    ($($ty:ty),*) => { $(impl Field for $ty {
        fn kind(w: Widget) -> Kind {
            let int = |literal: Option<Literal>| literal.and_then(Literal::int);
            Kind::Int {
                default: int(w.default).unwrap_or(0),
                min: int(w.min),
                max: int(w.max),
                step: int(w.step),
                control: w.control_after_generate,
            }
        }

        fn from_value(value: &Value) -> Result<Self, Misfit> {
            let number = *value.downcast::<i128>().ok_or_else(|| mismatch("INT", value))?;
            Self::try_from(number).map_err(|_| Misfit::Value(format!(
                "is {number}, outside {} to {}; set a value within", Self::MIN, Self::MAX
            )))
        }
    })* };
}
integer_field!(u32, i64, i128, u64, usize);

impl Field for f64 {
    fn kind(w: Widget) -> Kind {
        let float = |literal: Option<Literal>| literal.and_then(Literal::float);
        Kind::Float {
            default: float(w.default).unwrap_or(0.0),
            min: float(w.min),
            max: float(w.max),
            step: float(w.step),
            round: float(w.round),
            control: w.control_after_generate,
        }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        // An INT gets here through a `*` socket only.
        let whole = || value.downcast::<i128>().map(|&number| number as f64);
        value.downcast().copied().or_else(whole).ok_or_else(|| mismatch("FLOAT", value))
    }
}

impl Field for bool {
    fn kind(w: Widget) -> Kind {
        Kind::Boolean { default: w.default == Some(Literal::Bool(true)) }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        // A number gets here from a node made at run time only.
        let number = || value.downcast::<i128>().map(|&number| number != 0);
        value.downcast().copied().or_else(number).ok_or_else(|| mismatch("BOOLEAN", value))
    }
}

impl Field for String {
    fn kind(w: Widget) -> Kind {
        let default = w.default.and_then(Literal::text);
        if let Some(folder) = w.files {
            let besides = w.besides.iter().map(|&name| name.to_owned()).collect();
            let options = Options::Files { folder: folder.to_owned(), besides };
            let default = default.map(str::to_owned);
            return Kind::Combo { options, default, upload: w.upload, control: w.control_after_generate };
        }
        Kind::Text {
            default: default.unwrap_or_default().to_owned(),
            multiline: w.multiline,
            dynamic_prompts: w.dynamic_prompts,
        }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        value.downcast().cloned().ok_or_else(|| mismatch("STRING", value))
    }
}

/// A field with a fixed list of choices. Derived for enums by `#[derive(Combo)]`; a table of rows implements it by hand.
pub trait Combo: Sized + 'static {
    fn names() -> Vec<&'static str>;
    fn from_name(name: &str) -> Option<Self>;
}

/// What the implementations of [`Field`] for a [`Combo`] share.
pub fn combo_kind<T: Combo>(w: Widget) -> Kind {
    Kind::Combo {
        options: Options::Fixed(T::names().into_iter().map(str::to_owned).collect()),
        default: w.default.and_then(Literal::text).map(str::to_owned),
        upload: None,
        control: w.control_after_generate,
    }
}

/// See [`combo_kind`].
pub fn combo_from_value<T: Combo>(value: &Value) -> Result<T, Misfit> {
    let name: &String = value.downcast().ok_or_else(|| mismatch("COMBO", value))?;
    T::from_name(name)
        .ok_or_else(|| Misfit::Value(format!("is '{name}', none of its choices; use one of {}", T::names().join(", "))))
}

/// Makes a [`Combo`] a [`Field`] of nodes. (A blanket implementation would clash with the one for wire types.)
#[macro_export]
macro_rules! combo_field {
    ($ty:ty) => {
        impl $crate::io::Field for $ty {
            fn kind(widget: $crate::io::Widget) -> $crate::schema::Kind {
                $crate::io::combo_kind::<Self>(widget)
            }

            fn from_value(value: &$crate::io::Value) -> Result<Self, $crate::io::Misfit> {
                $crate::io::combo_from_value(value)
            }
        }
    };
}
