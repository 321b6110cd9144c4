//! What a node is, and the registry of all nodes linked into the program.

use std::cell::Cell;
use std::path::Path;

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::cx::Cx;
use crate::error::NodeError;
use crate::flow::Wants;
use crate::folders::FolderPaths;
use crate::io::Args;
use crate::outputs::{Outputs, Returned};
use crate::packs::Pack;
use crate::prompt::{Given, NodeId};
use crate::schema::{Schema, Schemas};
use crate::table::{self, Twice};

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

    /// Which lazy inputs the node needs before it runs. Asked again once they are there, until it asks for no more. For
    /// nodes with [`Lazy`](crate::flow::Lazy) fields only.
    fn needs(&self, _wants: &mut Wants) -> anyhow::Result<()> {
        Ok(())
    }

    /// The class's own check of what it was given, before anything runs; the error is for the user.
    fn validate(_offer: &Offer) -> Result<(), String> {
        Ok(())
    }

    /// What is wrong with the files that it will read, as far as their names and headers tell before anything runs. A file that a combo
    /// names and that is not there is found without it.
    fn flaws(_offer: &Offer, _folders: &FolderPaths) -> Vec<Flaw> {
        Vec::new()
    }

    /// What the outputs depend on besides the inputs. Asked once a run, before anything runs.
    fn fingerprint(_offer: &Offer) -> anyhow::Result<Fingerprint> {
        Ok(Fingerprint::Inputs)
    }
}

/// What a node was given, as far as it is known before anything runs: constants, and the types of what is linked.
pub struct Offer<'a> {
    pub(crate) inputs: &'a IndexMap<String, Given>,
    /// The type that an output declares.
    pub(crate) types: &'a dyn Fn(&NodeId, usize) -> Option<String>,
}

impl<'a> Offer<'a> {
    /// A constant, converted to what the input's type makes of it.
    pub fn constant(&self, input: &str) -> Option<&'a Json> {
        match self.inputs.get(input) {
            Some(Given::Constant(value)) => Some(value),
            _ => None,
        }
    }

    /// The type of the output that is linked to the input.
    pub fn linked_type(&self, input: &str) -> Option<String> {
        match self.inputs.get(input) {
            Some(Given::Link { node, slot }) => (self.types)(node, *slot),
            _ => None,
        }
    }

    /// Whether the input was given anything.
    pub fn has(&self, input: &str) -> bool {
        self.inputs.contains_key(input)
    }
}

/// Something wrong with a file that a node will read.
#[derive(Clone, Debug, PartialEq)]
pub struct Flaw {
    /// The input that names it.
    pub input: String,
    /// The kind of folder that it lies in.
    pub folder: &'static str,
    pub name: String,
    /// Why it cannot be used; nothing if it is not there, and the node goes on without it.
    pub unusable: Option<String>,
}

impl Flaw {
    /// What `look` finds wrong with the file that an input names, if it is there: one flaw, or none.
    pub fn of_file(
        offer: &Offer,
        folders: &FolderPaths,
        (input, folder): (&str, &'static str),
        look: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> Vec<Self> {
        let file = || {
            let name = offer.constant(input)?.as_str()?.to_owned();
            Some((folders.find(folder, &name)?, name))
        };
        let Some((path, name)) = file() else { return Vec::new() };
        // libtorch's functions panic.
        match guarded(|| look(&path)) {
            Err(NodeError::Failed(text) | NodeError::Unsupported(text) | NodeError::OutOfMemory(text)) => {
                vec![Self { input: input.to_owned(), folder, name, unusable: Some(text) }]
            }
            _ => Vec::new(),
        }
    }
}

/// What a node's outputs depend on, beyond its class.
#[derive(Clone, Debug, PartialEq)]
pub enum Fingerprint {
    /// The inputs, and nothing else.
    Inputs,
    /// The inputs and this.
    Of(Json),
    /// Something that no two runs have in common: results are never reused.
    Never,
}

/// How the engine treats a class, beyond its declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Raised when the node's results change, so that stored ones are not reused.
    pub revision: u32,
    /// A field takes the whole list.
    pub takes_lists: bool,
    /// Two nodes of this class with equal inputs do not share results.
    pub not_idempotent: bool,
    /// Folders whose files the node reads by names inside its inputs, such as embeddings in a text.
    pub reads: &'static [&'static str],
    /// Takes linked inputs that it does not declare.
    pub variadic: bool,
    /// Inputs whose constants the class itself checks, in place of their declared limits and choices; `*` for all.
    pub validates: &'static [&'static str],
    /// The class itself checks the types of what is linked.
    pub validates_types: bool,
}

impl Traits {
    /// Whether the class checks this input's constants itself.
    pub fn validates(&self, input: &str) -> bool {
        self.validates.iter().any(|name| *name == "*" || *name == input)
    }
}

/// A runnable class.
pub struct Class {
    pub schema: Schema,
    pub traits: Traits,
    /// Whether a call may have to be waited for.
    pub later: bool,
    /// The Rust type that declares it.
    declared_by: &'static str,
    run: fn(Args, &mut Cx) -> anyhow::Result<Returned>,
    needs: fn(Args) -> anyhow::Result<Wants>,
    validate: fn(&Offer) -> Result<(), String>,
    flaws: fn(&Offer, &FolderPaths) -> Vec<Flaw>,
    fingerprint: fn(&Offer) -> anyhow::Result<Fingerprint>,
}

impl Class {
    pub fn of<N: Run>() -> Self {
        let mut schema = N::schema();
        schema.outputs = N::Out::declare();
        Self {
            schema,
            traits: N::traits(),
            later: N::Out::LATER,
            declared_by: std::any::type_name::<N>(),
            run: |mut args, cx| Ok(N::from_args(&mut args)?.run(cx)?.into_returned()),
            needs: |mut args| {
                let mut wants = Wants::default();
                N::from_args(&mut args)?.needs(&mut wants)?;
                Ok(wants)
            },
            validate: N::validate,
            flaws: N::flaws,
            fingerprint: N::fingerprint,
        }
    }

    /// The pack that it belongs to; nothing for ComfyUI's own classes.
    pub fn pack(&self) -> Option<&'static Pack> {
        Pack::of(self.declared_by)
    }

    /// Calls the node once. A panic inside (libtorch's operators panic) becomes an error with its first line.
    pub fn call(&self, args: Args, cx: &mut Cx) -> Result<Returned, NodeError> {
        guarded(|| (self.run)(args, cx))
    }

    /// The lazy inputs that the node asks for, given the inputs that are evaluated.
    pub(crate) fn needs(&self, args: Args) -> Result<Vec<String>, NodeError> {
        guarded(|| Ok((self.needs)(args)?.0))
    }

    /// See [`Run::validate`].
    pub fn validate(&self, offer: &Offer) -> Result<(), String> {
        (self.validate)(offer)
    }

    /// See [`Run::flaws`].
    pub(crate) fn flaws(&self, offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        (self.flaws)(offer, folders)
    }

    /// See [`Run::fingerprint`]. If it fails, the node's results are never reused.
    pub(crate) fn fingerprint(&self, offer: &Offer) -> Fingerprint {
        (self.fingerprint)(offer).unwrap_or_else(|error| {
            tracing::warn!("{}: no fingerprint ({error:#}); its results are not reused", self.schema.class);
            Fingerprint::Never
        })
    }
}

/// Runs a node's code; a panic in it becomes an error.
pub(crate) fn guarded<T>(code: impl FnOnce() -> anyhow::Result<T>) -> Result<T, NodeError> {
    let _quiet = QuietPanics::new();
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(code)) {
        Ok(result) => result.map_err(NodeError::from),
        Err(panic) => Err(NodeError::from_panic(panic.as_ref())),
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
    /// Every node linked into this program. The tables that nodes read are checked as well.
    ///
    /// # Errors
    /// If two classes, or two rows of a table, have one name.
    pub fn linked() -> Result<Self, Twice> {
        table::CHECKS.iter().try_for_each(|check| check())?;
        Self::of(CLASSES.iter().map(|class| class()))
    }

    /// # Errors
    /// If two classes have one name.
    pub fn of(all: impl IntoIterator<Item = Class>) -> Result<Self, Twice> {
        let mut classes: IndexMap<String, Class> = IndexMap::new();
        for class in all {
            let (name, declared_by) = (class.schema.class.clone(), class.declared_by);
            if let Some(other) = classes.insert(name.clone(), class) {
                let mut by = [other.declared_by, declared_by];
                by.sort_unstable();
                return Err(Twice { kind: "node class", name, by: Some((by[0], by[1])) });
            }
        }
        classes.sort_unstable_keys();
        Ok(Self { classes })
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
