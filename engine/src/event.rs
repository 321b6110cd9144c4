//! What a run tells the outside. Events are the product; `tracing` is diagnosis, and the two do not mix.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;

use crate::failure::Failure;
use crate::io::Socket;
use crate::prompt::NodeId;

/// A file that a node wrote, as ComfyUI's clients ask for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFile {
    pub filename: String,
    /// Below the folder that `kind` names, `/` between parts.
    pub subfolder: String,
    /// `output` or `temp`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// What a node shows, under ComfyUI's names: `images` and `latents` are lists of [`SavedFile`], `text` of texts, and
/// `animated` says of `images` whether they move.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ui(IndexMap<String, Vec<Json>>);

impl Ui {
    /// Adds one thing to the list of a name.
    pub fn add(&mut self, name: &str, shown: Json) {
        self.0.entry(name.to_owned()).or_default().push(shown);
    }

    /// What is shown under a name.
    pub fn list(&self, name: &str) -> &[Json] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The texts among what is shown.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.list("text").iter().filter_map(Json::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A node that another put in its place, and the node under whose id the user sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub node: NodeId,
    pub display_node: NodeId,
}

/// One thing that happened, in the order in which it did.
///
/// As JSON it is `{"type": ..., "data": {...}}`, with ComfyUI's names where it has the event: a line of `redraft run --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum Event {
    /// A run begins: how many nodes it may have to call.
    #[serde(rename = "execution_start")]
    Start { nodes: usize },
    /// These nodes need not run: their results are at hand.
    #[serde(rename = "execution_cached")]
    Cached { nodes: Vec<NodeId> },
    /// A node begins, or begins again after the lazy inputs that it asked for were evaluated.
    #[serde(rename = "executing")]
    Executing {
        node: NodeId,
        /// The node under whose id the user sees it: itself, unless another node made it.
        display_node: NodeId,
        #[serde(rename = "class_type")]
        class: String,
        title: String,
    },
    /// A node put further nodes in its place.
    #[serde(rename = "expanded")]
    Expanded {
        node: NodeId,
        #[serde(rename = "nodes")]
        made: Vec<Made>,
    },
    /// A node is not called, because one of its inputs is blocked. The message is that of the node that blocked it.
    #[serde(rename = "execution_blocked")]
    Blocked {
        node: NodeId,
        #[serde(rename = "class_type")]
        class: String,
        message: String,
        /// The nodes that were done in this run.
        executed: Vec<NodeId>,
    },
    #[serde(rename = "progress")]
    Progress {
        node: NodeId,
        #[serde(rename = "value")]
        done: usize,
        #[serde(rename = "max")]
        total: usize,
    },
    /// What a node has under way after `done` steps. Only for observers that want it.
    #[serde(rename = "preview")]
    Preview {
        node: NodeId,
        #[serde(rename = "value")]
        done: usize,
        /// The size of `image`.
        bytes: usize,
        /// A JPEG file. It is no part of the JSON: whoever wants previews takes them from here.
        #[serde(skip)]
        image: Vec<u8>,
    },
    /// A node is done; the seconds it took.
    #[serde(rename = "finished")]
    Finished { node: NodeId, seconds: f64 },
    /// A node has something to show. Of cached results this is sent even if there is nothing to show.
    #[serde(rename = "executed")]
    Executed {
        node: NodeId,
        display_node: NodeId,
        output: Ui,
        /// The files that it wrote.
        #[serde(serialize_with = "as_texts")]
        paths: Vec<PathBuf>,
        cached: bool,
    },
    #[serde(rename = "warning")]
    Warning { node: Option<NodeId>, message: String },
    #[serde(rename = "execution_success")]
    Success { seconds: f64 },
    #[serde(rename = "execution_error")]
    Error(Box<Failure>),
    #[serde(rename = "execution_interrupted")]
    Interrupted {
        #[serde(rename = "node_id")]
        node: NodeId,
        #[serde(rename = "node_type")]
        class: String,
        executed: Vec<NodeId>,
    },
}

/// Paths as texts, also those that are no UTF-8, which serde refuses.
fn as_texts<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

/// Who watches a run.
pub trait Observer {
    fn event(&mut self, event: Event);

    /// Whether [`Event::Preview`] is of use: making one costs time.
    fn wants_previews(&self) -> bool {
        false
    }

    /// The values that left a node, one list per output, fresh or from the cache.
    fn outputs(&mut self, _node: &NodeId, _outputs: &[Socket]) {}
}

/// Watches nothing.
impl Observer for () {
    fn event(&mut self, _: Event) {}
}

/// Keeps what happened, for tests.
impl Observer for Vec<Event> {
    fn event(&mut self, event: Event) {
        self.push(event);
    }
}
