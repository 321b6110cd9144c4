//! What a node is, and the registry of all nodes linked into the program.

use std::cell::Cell;

use indexmap::IndexMap;

use crate::cx::Cx;
use crate::error::NodeError;
use crate::io::{Arg, Field, Outputs, Socket};
use crate::schema::{Schema, Schemas};

/// A node class: a struct whose fields are its inputs. Derived by `#[derive(Node)]`.
pub trait Node: Sized {
    fn schema() -> Schema;
    fn traits() -> Traits;
    fn from_args(args: &mut Args) -> anyhow::Result<Self>;
}

/// What a node does. `run` is called once per value of the longest list among its inputs, or once with whole lists if a
/// field is a [`List`](crate::io::List).
pub trait Run: Node {
    type Out: Outputs;
    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out>;
}

/// What the engine must know of a class beyond its words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Raised when the node's results change, so that stored ones are not reused.
    pub revision: u32,
    /// A field takes the whole list.
    pub takes_lists: bool,
    /// Every node of this class is itself: two with equal inputs do not share results.
    pub not_idempotent: bool,
    /// Folders whose files the node reads by names inside its inputs, such as embeddings in a text.
    pub reads: &'static [&'static str],
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

    /// The names of the inputs, in declared order, of those that stand for one declared input in the order of their numbers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.args.keys().map(String::as_str)
    }
}

/// A runnable class.
pub struct Class {
    pub schema: Schema,
    pub traits: Traits,
    run: fn(Args, &mut Cx) -> anyhow::Result<Vec<Socket>>,
}

impl Class {
    pub fn of<N: Run>() -> Self {
        let mut schema = N::schema();
        schema.outputs = N::Out::declare();
        Self { schema, traits: N::traits(), run: |mut args, cx| Ok(N::from_args(&mut args)?.run(cx)?.into_sockets()) }
    }

    /// Calls the node once. A panic inside (libtorch's operators panic) becomes an error with its first line.
    pub fn call(&self, args: Args, cx: &mut Cx) -> Result<Vec<Socket>, NodeError> {
        let _quiet = QuietPanics::new();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.run)(args, cx)));
        match result {
            Ok(result) => result.map_err(NodeError::from),
            Err(panic) => Err(NodeError::from_panic(panic.as_ref())),
        }
    }
}

/// All classes that `#[derive(Node)]` registered.
#[linkme::distributed_slice]
pub static CLASSES: [fn() -> Class];

/// The nodes that can run, by class name, in alphabetical order.
pub struct Registry {
    classes: IndexMap<String, Class>,
}

impl Registry {
    /// Every node linked into this program.
    pub fn linked() -> Self {
        Self::of(CLASSES.iter().map(|class| class()))
    }

    pub fn of(classes: impl IntoIterator<Item = Class>) -> Self {
        let mut classes: IndexMap<_, _> = classes.into_iter().map(|c| (c.schema.class.clone(), c)).collect();
        classes.sort_unstable_keys();
        Self { classes }
    }

    pub fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Class> {
        self.classes.values()
    }

    /// The class name most like `name`, if one is near.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        crate::error::nearest(name, self.classes.keys().map(String::as_str))
    }
}

impl Schemas for Registry {
    fn schema(&self, class: &str) -> Option<&Schema> {
        self.class(class).map(|class| &class.schema)
    }
}

thread_local! {
    static IN_NODE: Cell<bool> = const { Cell::new(false) };
}

/// While a node runs on this thread its panics print nothing: they are reported as the node's error.
struct QuietPanics;

impl QuietPanics {
    fn new() -> Self {
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let default = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                if IN_NODE.get() {
                    tracing::debug!("{info}");
                } else {
                    default(info);
                }
            }));
        });
        IN_NODE.set(true);
        Self
    }
}

impl Drop for QuietPanics {
    fn drop(&mut self) {
        IN_NODE.set(false);
    }
}
