//! What nodes use that steer the run: lazy inputs, links taken as links, inputs that no class declares, blockers, nodes
//! that put further nodes in their place, nodes that wait. The common node needs none of it.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use indexmap::IndexMap;

use crate::cx::Cx;
use crate::io::{Arg, Emit, Field, Misfit, Outputs, Socket, Value, Widget};
use crate::prompt::NodeId;
use crate::schema::{Kind, Output};

/// An output of a node: `["4", 1]` in the API form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    pub node: NodeId,
    pub slot: usize,
}

/// What feeds an input of a running graph: another node, or a value.
#[derive(Clone, Debug)]
pub enum Feed {
    Link(Link),
    Value(Value),
}

impl Feed {
    pub fn link(node: &NodeId, slot: usize) -> Self {
        Self::Link(Link { node: node.clone(), slot })
    }

    /// No value: Python's `None`.
    pub fn nothing() -> Self {
        Self::Value(Value::nothing())
    }

    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Value(value) if value.is_nothing())
    }
}

impl<T: Emit> From<T> for Feed {
    /// A value as an output gives it. Of a list, the first.
    fn from(value: T) -> Self {
        Self::Value(value.into_socket().first().cloned().unwrap_or_else(Value::nothing))
    }
}

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

/// The linked inputs that the class does not declare, by name: what Python's `**kwargs` takes. The last field of a node,
/// marked `#[input(rest)]`.
#[derive(Clone, Debug)]
pub struct Rest<T>(pub IndexMap<String, T>);

/// Stands in the place of a value and keeps every node that would take it from being called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocker {
    /// What the first node that is kept from running tells the user.
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

/// One node of a running graph.
#[derive(Clone, Debug)]
pub struct GraphNode {
    pub class: String,
    pub inputs: IndexMap<String, Feed>,
    /// Under which node's id the user sees it, if not under that of the node that made it.
    pub display: Option<NodeId>,
}

/// Nodes that a node puts in its place. Their ids begin with that node's id: `7.0.0.1`.
#[derive(Clone, Debug)]
pub struct Graph {
    prefix: String,
    next: usize,
    pub(crate) nodes: IndexMap<NodeId, GraphNode>,
}

impl Graph {
    pub fn new(cx: &mut Cx) -> Self {
        Self { prefix: cx.graph_prefix(), next: 1, nodes: IndexMap::new() }
    }

    /// Adds a node under the next number.
    pub fn node<'n>(&mut self, class: &str, inputs: impl IntoIterator<Item = (&'n str, Feed)>) -> NodeId {
        let name = self.next.to_string();
        self.next += 1;
        self.named(&name, class, inputs)
    }

    /// Adds a node under a name of its own. A node that has the name already stays.
    pub fn named<'n>(&mut self, name: &str, class: &str, inputs: impl IntoIterator<Item = (&'n str, Feed)>) -> NodeId {
        let id = self.id(name);
        let inputs = || inputs.into_iter().filter(|(_, feed)| !feed.is_nothing());
        self.nodes.entry(id.clone()).or_insert_with(|| GraphNode {
            class: class.to_owned(),
            inputs: inputs().map(|(name, feed)| (name.to_owned(), feed)).collect(),
            display: None,
        });
        id
    }

    /// The id of the node that was added, or is to be, under `name`.
    pub fn id(&self, name: &str) -> NodeId {
        NodeId::from(format!("{}{name}", self.prefix))
    }

    /// Sets an input of a node that was added; [`Feed::nothing`] takes it away.
    pub fn set(&mut self, node: &NodeId, input: &str, feed: Feed) {
        let Some(node) = self.nodes.get_mut(node) else { return };
        if feed.is_nothing() {
            node.inputs.shift_remove(input);
        } else {
            node.inputs.insert(input.to_owned(), feed);
        }
    }

    /// Lets the user see a node under another node's id.
    pub fn show_as(&mut self, node: &NodeId, display: NodeId) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.display = Some(display);
        }
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

/// What one call of a node ended in.
pub enum Returned {
    /// A socket for each output.
    Values(Vec<Socket>),
    Expanded(Graph, Vec<Feed>),
    Later(Pending),
}

/// A call that is not done.
pub type Pending = Pin<Box<dyn Future<Output = anyhow::Result<Returned>>>>;
