//! How a field of a node takes what comes over its socket.

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::error::OutOfMemory;
use crate::io::value::{Socket, Value, Wire};
use crate::io::widget::Widget;
use crate::memory;
use crate::schema::{ANY, Input, Kind};

/// What a node's input holds when the node is called.
#[derive(Clone, Debug)]
pub enum Arg {
    /// Nothing is connected and nothing was set.
    Absent,
    /// A lazy input that is connected and that the node has not asked for yet.
    Later,
    One(Value),
    /// The whole list, for nodes that take lists.
    All(Socket),
}

/// The inputs of one call.
#[derive(Debug)]
pub struct Args {
    args: IndexMap<String, Arg>,
}

impl Args {
    pub fn new(args: IndexMap<String, Arg>) -> Self {
        Self { args }
    }

    /// Takes the input `name`. Fails, naming it, if it does not fit the field.
    pub fn take<T: Field>(&mut self, name: &str) -> anyhow::Result<T> {
        T::take(self, name)
    }

    /// Takes the input `name` as it is.
    pub fn remove(&mut self, name: &str) -> Arg {
        self.args.get_mut(name).map_or(Arg::Absent, |arg| std::mem::replace(arg, Arg::Absent))
    }

    /// Takes everything that was not taken yet.
    pub fn rest<T: Field>(&mut self) -> anyhow::Result<Rest<T>> {
        let left: Vec<_> = self.args.iter().filter(|(_, arg)| !matches!(arg, Arg::Absent)).collect();
        let names: Vec<String> = left.into_iter().map(|(name, _)| name.clone()).collect();
        names.into_iter().map(|name| Ok((name.clone(), self.take(&name)?))).collect::<anyhow::Result<_>>().map(Rest)
    }

    /// The names of the inputs in declared order. Sockets that the editor added for one declared input
    /// (`images.image0`, `images.image1`, ...) are in the order of their numbers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.args.keys().map(String::as_str)
    }
}

/// Inputs that several classes declare alike: a derived struct, which each has as a field marked `#[input(flatten)]`.
pub trait Inputs: Sized {
    /// Whether any of them takes a socket's whole list.
    const LISTS: bool;

    /// Their declarations, in widget order.
    fn declare() -> Vec<Input>;

    /// Takes them. Fails, naming the first that does not fit its field.
    fn take(args: &mut Args) -> anyhow::Result<Self>;
}

/// The linked inputs that the class does not declare, by name: what Python's `**kwargs` takes. The last field of a node,
/// marked `#[input(rest)]`. Constants are among them where the node says `hidden("*")`.
#[derive(Clone, Debug)]
pub struct Rest<T>(pub IndexMap<String, T>);

/// Why an input could not be taken; the caller adds node and input.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Misfit {
    #[error("is missing; connect it or set a value")]
    Missing,
    #[error("wants {wanted} but was given {found}; connect an output of type {wanted}")]
    Type { wanted: String, found: String },
    #[error("{0}")]
    Value(String),
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
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

    /// As [`from_arg`](Self::from_arg), for fields that need the input's name.
    fn from_input(_name: &str, arg: Arg) -> Result<Self, Misfit> {
        Self::from_arg(arg)
    }

    /// Takes the field's value out of a call's inputs. Most fields take the input `name`; one that stands for several
    /// inputs takes all of them.
    fn take(args: &mut Args, name: &str) -> anyhow::Result<Self> {
        Self::from_input(name, args.remove(name)).map_err(|misfit| match misfit {
            Misfit::Memory(error) => error.into(),
            misfit => anyhow::anyhow!("input '{name}' {misfit}"),
        })
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
        let found = value.downcast::<T>().ok_or_else(|| mismatch(T::TYPE, value))?;
        memory::ask(found.clone_bytes(), "a copy of what comes over a link")?;
        Ok(found.clone())
    }
}

/// A value of any type, handed on or looked at as it is: a `*` socket.
#[derive(Clone, Debug)]
pub struct Wildcard(pub Value);

impl Field for Wildcard {
    fn kind(_: Widget) -> Kind {
        Kind::Socket(ANY.to_owned())
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        Ok(Self(value.clone()))
    }
}

pub(super) fn mismatch(wanted: &str, value: &Value) -> Misfit {
    let found = match value.downcast::<Json>() {
        Some(constant) => format!("the constant {constant}"),
        None => value.type_name().to_owned(),
    };
    Misfit::Type { wanted: wanted.to_owned(), found }
}
