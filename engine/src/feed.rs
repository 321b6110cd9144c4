//! What feeds an input of the graph that runs: another node's output, or a value.

use indexmap::IndexMap;

use crate::io::{Emit, Value};
use crate::prompt::NodeId;

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
    /// The value that an output would carry; the first value if it is a list.
    fn from(value: T) -> Self {
        Self::Value(value.into_socket().first().cloned().unwrap_or_else(Value::nothing))
    }
}

/// One node of a running graph.
#[derive(Clone, Debug)]
pub struct GraphNode {
    pub class: String,
    pub inputs: IndexMap<String, Feed>,
    /// The node under whose id the user sees this one. By default that is the node that made it.
    pub display: Option<NodeId>,
}
