//! The API form of a workflow: what ComfyUI calls a prompt.
//!
//! Every reader ([`crate::workflow`]) ends in this form, and the plan starts from it.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The id of a node: `"3"`, or a path of ids such as `"12:7"` for a node inside a subgraph.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(Arc<str>);

impl NodeId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for NodeId {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

impl Borrow<str> for NodeId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What an input of a node was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// The output `slot` of another node: `["4", 1]` in the file.
    Link { node: NodeId, slot: usize },
    /// A constant. An array stands here as it is, without the `{"__value__": [...]}` it has in a file.
    Constant(Value),
    /// A bare array that is no link: neither ComfyUI nor we can tell what it means.
    Malformed(Value),
}

impl Given {
    pub fn link(node: impl Into<NodeId>, slot: usize) -> Self {
        Self::Link { node: node.into(), slot }
    }

    /// The node that it links to.
    pub fn source(&self) -> Option<&NodeId> {
        match self {
            Self::Link { node, .. } => Some(node),
            Self::Constant(_) | Self::Malformed(_) => None,
        }
    }

    /// The value as the API form writes it.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Link { node, slot } => json!([node, slot]),
            Self::Constant(array @ Value::Array(_)) => json!({ "__value__": array }),
            Self::Constant(value) | Self::Malformed(value) => value.clone(),
        }
    }
}

/// One node of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptNode {
    pub class_type: String,
    /// In the order of the file.
    pub inputs: IndexMap<String, Given>,
    /// `_meta.title`: what the user calls the node.
    pub title: Option<String>,
}

/// A workflow in API form: what is to be executed, ids in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    pub nodes: IndexMap<NodeId, PromptNode>,
}

impl Prompt {
    /// The API JSON, as ComfyUI's "Export (API)" writes it.
    pub fn to_json(&self) -> Value {
        let nodes = self.nodes.iter().map(|(id, node)| {
            let inputs = node.inputs.iter().map(|(name, given)| (name.clone(), given.to_json()));
            let mut entry = serde_json::Map::new();
            entry.insert("inputs".into(), Value::Object(inputs.collect()));
            entry.insert("class_type".into(), json!(node.class_type));
            if let Some(title) = &node.title {
                entry.insert("_meta".into(), json!({ "title": title }));
            }
            (id.to_string(), Value::Object(entry))
        });
        Value::Object(nodes.collect())
    }
}

/// Which nodes a run is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Targets {
    /// The nodes that save or show something.
    #[default]
    Outputs,
    /// Every node.
    All,
    /// These, whether they save something or not.
    Only(Vec<NodeId>),
}
