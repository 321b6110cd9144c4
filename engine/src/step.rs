//! One node that may be called, with what feeds its inputs and the key of its outputs: of a plan, or made at run time.

use indexmap::IndexMap;
use petgraph::graph::NodeIndex;
use serde_json::{Value as Json, json};

use crate::digests::Lasting;
use crate::folders::FolderPaths;
use crate::io::Value;
use crate::key::Key;
use crate::key_builder::KeyBuilder;
use crate::live::{self, Live};
use crate::node::{Class, Offer};
use crate::prompt::{Given, NodeId};
use crate::schema::Input;

/// Where an input's value comes from.
#[derive(Clone, Debug)]
pub enum Source {
    Constant(Value),
    Link { from: NodeIndex, slot: usize },
}

impl Source {
    /// The node and the slot, if it is a link.
    pub fn link(&self) -> Option<(NodeIndex, usize)> {
        match self {
            Self::Link { from, slot } => Some((*from, *slot)),
            Self::Constant(_) => None,
        }
    }
}

/// One input of a node that may be called.
#[derive(Clone, Debug)]
pub struct StepInput<'r> {
    pub name: String,
    pub declared: &'r Input,
    pub source: Source,
    /// Its position among the node's inputs in the workflow. Sources are scheduled in this order.
    pub position: usize,
}

/// One node that may be called.
pub struct Step<'r> {
    pub id: NodeId,
    pub class: &'r Class,
    pub title: String,
    /// In declared order; inputs that were given nothing are not here.
    pub inputs: Vec<StepInput<'r>>,
    pub key: Key,
    /// Whether the key means the same to other processes.
    pub lasting: Lasting,
}

impl Step<'_> {
    /// The outputs that its inputs take: node and slot.
    pub fn links(&self) -> impl Iterator<Item = (NodeIndex, usize)> {
        self.inputs.iter().filter_map(|input| input.source.link())
    }
}

/// Makes steps and their keys.
#[derive(Clone, Copy)]
pub(crate) struct StepBuilder<'a> {
    /// Part of every key.
    pub salt: &'a str,
    pub folders: &'a FolderPaths,
    /// Whether keys are made of the content of large files, once that is known, in place of what these go by in this process.
    pub settled: bool,
}

impl StepBuilder<'_> {
    /// A step of a node that was given `given`, without a key. `source` finds what feeds an input; where it finds nothing, the
    /// input stays empty.
    ///
    /// # Errors
    /// Those of `source`.
    pub(crate) fn step<'r, E>(
        self,
        id: NodeId,
        class: &'r Class,
        title: Option<String>,
        given: &IndexMap<String, Given>,
        mut source: impl FnMut(&Live<'r>) -> Result<Option<Source>, E>,
    ) -> Result<Step<'r>, E> {
        let declared = live::inputs(&class.schema, given);
        let undeclared = live::undeclared(class, given, &declared);
        let mut inputs = Vec::with_capacity(given.len());
        for live in declared.into_iter().chain(undeclared) {
            if let Some(source) = source(&live)? {
                let position = given.get_index_of(&live.name).unwrap_or(given.len());
                inputs.push(StepInput { name: live.name, declared: live.input, source, position });
            }
        }
        let title = title.unwrap_or_else(|| class.schema.display_name.clone());
        Ok(Step { id, class, title, inputs, key: Key::default(), lasting: Lasting::No })
    }

    /// The key of a step's outputs. `source_key` gives the key of a step that feeds it.
    pub(crate) fn key(
        self,
        step: &Step<'_>,
        given: &IndexMap<String, Given>,
        source_key: impl Fn(NodeIndex) -> (Key, Lasting),
    ) -> (Key, Lasting) {
        let mut key = self.builder(step);
        for StepInput { name, declared, source, .. } in &step.inputs {
            match source {
                Source::Link { from, slot } => key.link(name, &declared.kind, source_key(*from), *slot),
                Source::Constant(value) => match plain(value) {
                    Some(json) => key.constant(name, &declared.kind, &json),
                    None => key.unique(),
                },
            }
        }
        key.fingerprint(&step.class.fingerprint(&Offer { inputs: given, types: &|_, _| None }));
        key.finish()
    }

    /// A key that no other step ever has.
    pub(crate) fn unique_key(self, step: &Step<'_>) -> (Key, Lasting) {
        let mut key = self.builder(step);
        key.unique();
        key.finish()
    }

    fn builder(&self, step: &Step<'_>) -> KeyBuilder<'_> {
        KeyBuilder::new(step.class, &step.id, self.salt, self.folders, self.settled)
    }
}

/// The value as JSON, if JSON can hold it. NaN is excluded because it equals no value, itself included; so are tensors.
pub(crate) fn plain(value: &Value) -> Option<Json> {
    if let Some(float) = value.downcast::<f64>() {
        return match float {
            float if float.is_nan() => None,
            float if float.is_infinite() => Some(json!(if *float > 0.0 { "inf" } else { "-inf" })),
            float => Some(json!(float)),
        };
    }
    let whole = value.is_nothing() || value.downcast::<Json>().is_some() || value.downcast::<i128>().is_some();
    (whole || value.downcast::<bool>().is_some() || value.downcast::<String>().is_some()).then(|| value.shown())
}
