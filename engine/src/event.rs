//! What a run tells the outside. Events are the product; `tracing` is diagnosis, and the two do not mix.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::error::Failure;
use crate::io::Socket;
use crate::prompt::NodeId;

/// A file that a node wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SavedFile {
    #[serde(skip)]
    pub path: PathBuf,
    pub filename: String,
    /// Below the folder that `kind` names, `/` between parts.
    pub subfolder: String,
    /// `output` or `temp`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// One thing that happened, in the order in which it did.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A run begins: how many nodes it may have to call.
    Start {
        nodes: usize,
    },
    /// These nodes need not run: their results are at hand.
    Cached {
        nodes: Vec<NodeId>,
    },
    /// A node begins, or is asked again what it needs.
    Executing {
        node: NodeId,
        /// The node under whose id the user sees it: itself, unless another node made it.
        display_node: NodeId,
        class: String,
        title: String,
    },
    /// A node put further nodes in its place: their ids, each with the id under which the user sees it.
    Expanded {
        node: NodeId,
        made: Vec<(NodeId, NodeId)>,
    },
    /// A node is not called, for the reason that an earlier one gave.
    Blocked {
        node: NodeId,
        class: String,
        message: String,
        executed: Vec<NodeId>,
    },
    Progress {
        node: NodeId,
        done: usize,
        total: usize,
    },
    /// What a node has under way after `done` steps: a JPEG file's bytes. Only for observers that want it.
    Preview {
        node: NodeId,
        done: usize,
        image: Vec<u8>,
    },
    /// A node is done; the seconds it took.
    Finished {
        node: NodeId,
        seconds: f64,
    },
    /// A node has something to show; or its results, shown or not, were at hand.
    Executed {
        node: NodeId,
        display_node: NodeId,
        images: Vec<SavedFile>,
        texts: Vec<String>,
        cached: bool,
    },
    Warning {
        node: Option<NodeId>,
        message: String,
    },
    Success {
        seconds: f64,
    },
    Error(Box<Failure>),
    Interrupted {
        node: NodeId,
        class: String,
        executed: Vec<NodeId>,
    },
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

impl Event {
    /// `{"type": ..., "data": {...}}`, with ComfyUI's names where it has the event.
    pub fn to_json(&self) -> Json {
        let (name, data) = match self {
            Self::Start { nodes } => ("execution_start", json!({ "nodes": nodes })),
            Self::Cached { nodes } => ("execution_cached", json!({ "nodes": nodes })),
            Self::Executing { node, display_node, class, title } => (
                "executing",
                json!({ "node": node, "display_node": display_node, "class_type": class, "title": title }),
            ),
            Self::Expanded { node, made } => {
                let made: Vec<_> =
                    made.iter().map(|(id, display)| json!({ "node": id, "display_node": display })).collect();
                ("expanded", json!({ "node": node, "nodes": made }))
            }
            Self::Blocked { node, class, message, .. } => {
                ("execution_blocked", json!({ "node": node, "class_type": class, "message": message }))
            }
            Self::Progress { node, done, total } => ("progress", json!({ "node": node, "value": done, "max": total })),
            // The picture itself is for who asked for it.
            Self::Preview { node, done, image } => {
                ("preview", json!({ "node": node, "value": done, "bytes": image.len() }))
            }
            Self::Finished { node, seconds } => ("finished", json!({ "node": node, "seconds": seconds })),
            Self::Executed { node, display_node, images, texts, cached } => {
                let paths: Vec<_> = images.iter().map(|file| file.path.display().to_string()).collect();
                let output = Self::output(images, texts);
                let data = json!({ "node": node, "display_node": display_node, "output": output, "paths": paths });
                ("executed", with(data, "cached", json!(cached)))
            }
            Self::Warning { node, message } => ("warning", json!({ "node": node, "message": message })),
            Self::Success { seconds } => ("execution_success", json!({ "seconds": seconds })),
            Self::Error(failure) => ("execution_error", failure.to_json()),
            Self::Interrupted { node, class, executed } => {
                ("execution_interrupted", json!({ "node_id": node, "node_type": class, "executed": executed }))
            }
        };
        json!({ "type": name, "data": data })
    }

    /// What a node shows, under ComfyUI's names.
    pub(crate) fn output(images: &[SavedFile], texts: &[String]) -> Json {
        let shown = [("images", json!(images)), ("text", json!(texts))];
        Json::Object(shown.into_iter().filter(|(_, of)| *of != json!([])).map(|(k, v)| (k.to_owned(), v)).collect())
    }
}

fn with(mut object: Json, name: &str, value: Json) -> Json {
    object[name] = value;
    object
}
