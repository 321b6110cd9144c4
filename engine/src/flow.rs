//! What nodes use that steer the run: lazy inputs, links taken as links, inputs that no class declares, blockers, nodes
//! that put further nodes in their place, nodes that wait. The common node needs none of it.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

pub use crate::feed::{Feed, GraphNode, Link};
pub use crate::graph::Graph;
pub use crate::io::Rest;
use crate::io::{Arg, Emit, Field, Misfit, Socket, Value, Widget};
use crate::outputs::{Outputs, Returned};
use crate::schema::{Kind, Output};

/// An input that is pulled in only if the node asks for it in [`Run::needs`](crate::node::Run::needs).
#[derive(Clone, Debug)]
pub enum Lazy<T> {
    Here(T),
    /// Connected, and not evaluated; the input's name.
    Later(String),
}

impl<T> Lazy<T> {
    /// The value. Fails, naming the input, if the node never asked for it.
    pub fn get(self) -> anyhow::Result<T> {
        match self {
            Self::Here(value) => Ok(value),
            Self::Later(name) => {
                anyhow::bail!("input '{name}' was used without being asked for; ask for it in `needs`")
            }
        }
    }

    pub fn here(&self) -> Option<&T> {
        match self {
            Self::Here(value) => Some(value),
            Self::Later(_) => None,
        }
    }
}

impl<T: Field> Field for Lazy<T> {
    const OPTIONAL: bool = T::OPTIONAL;
    const LIST: bool = T::LIST;
    const LAZY: bool = true;

    fn kind(widget: Widget) -> Kind {
        T::kind(widget)
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        T::from_value(value).map(Self::Here)
    }

    fn from_arg(arg: Arg) -> Result<Self, Misfit> {
        T::from_arg(arg).map(Self::Here)
    }

    fn from_input(name: &str, arg: Arg) -> Result<Self, Misfit> {
        match arg {
            Arg::Later => Ok(Self::Later(name.to_owned())),
            arg => T::from_input(name, arg).map(Self::Here),
        }
    }
}

/// The lazy inputs that a node asks for.
#[derive(Debug, Default)]
pub struct Wants(pub(crate) Vec<String>);

impl Wants {
    /// Asks for an input; nothing happens if it is there already.
    pub fn ask<T>(&mut self, input: &Lazy<T>) {
        if let Lazy::Later(name) = input {
            self.0.push(name.clone());
        }
    }

    /// Asks for an input by its name. The run fails if the node has none of that name, or if it is a constant.
    pub fn ask_for(&mut self, name: impl Into<String>) {
        self.0.push(name.into());
    }
}

/// A field that takes the link itself, where one is connected, instead of what comes over it: ComfyUI's `rawLink`. The source
/// runs first all the same.
#[derive(Clone, Debug)]
pub struct Raw<T> {
    pub feed: Feed,
    of: PhantomData<T>,
}

impl<T: Field> Field for Raw<T> {
    const OPTIONAL: bool = T::OPTIONAL;
    const RAW: bool = true;

    fn kind(widget: Widget) -> Kind {
        T::kind(widget)
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        let link = value.downcast::<Link>().cloned();
        let feed = link.map_or_else(|| Feed::Value(value.clone()), Feed::Link);
        Ok(Self { feed, of: PhantomData })
    }
}

/// An output in place of a value: every node that takes it as an input is not called (ComfyUI's `ExecutionBlocker`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocker {
    /// The message for the user. The first node that is blocked reports it.
    pub message: Option<String>,
}

impl Blocker {
    pub fn silent() -> Self {
        Self::default()
    }

    pub fn because(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()) }
    }

    pub(crate) fn into_socket(self) -> Socket {
        [Value::new("BLOCKER", self)].into()
    }
}

/// An output that is blocked or not.
impl<T: Emit> Emit for Result<T, Blocker> {
    const TYPE: &'static str = T::TYPE;
    const LIST: bool = T::LIST;

    fn into_socket(self) -> Socket {
        match self {
            Ok(value) => value.into_socket(),
            Err(blocker) => blocker.into_socket(),
        }
    }
}

/// An output that may be nothing.
impl<T: Emit> Emit for Option<T> {
    const TYPE: &'static str = T::TYPE;
    const LIST: bool = T::LIST;

    fn into_socket(self) -> Socket {
        self.map_or_else(|| [Value::nothing()].into(), T::into_socket)
    }
}

/// What a node that may put nodes in its place returns.
#[derive(Debug)]
pub enum Expand<T> {
    Done(T),
    /// The nodes, and for each output what feeds it: one of them, or a value.
    Into(Graph, Vec<Feed>),
}

impl<T: Outputs> Outputs for Expand<T> {
    const LATER: bool = T::LATER;

    fn declare() -> Vec<Output> {
        T::declare()
    }

    fn into_returned(self) -> Returned {
        match self {
            Self::Done(outputs) => outputs.into_returned(),
            Self::Into(graph, results) => Returned::Expanded(graph, results),
        }
    }
}

/// What a node returns that waits for something, and lets other nodes run meanwhile. The future is polled on the compute
/// thread. It reports progress through a [`Reporter`](crate::cx::Reporter).
pub struct Later<T>(Pin<Box<dyn Future<Output = anyhow::Result<T>>>>);

impl<T> Later<T> {
    pub fn new(future: impl Future<Output = anyhow::Result<T>> + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl<T: Outputs + 'static> Outputs for Later<T> {
    const LATER: bool = true;

    fn declare() -> Vec<Output> {
        T::declare()
    }

    fn into_returned(self) -> Returned {
        Returned::Later(Box::pin(async move { Ok(self.0.await?.into_returned()) }))
    }
}
