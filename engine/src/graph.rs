//! Nodes that a node puts in its place.

use indexmap::IndexMap;

use crate::cx::Cx;
use crate::feed::{Feed, GraphNode};
use crate::prompt::NodeId;

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
