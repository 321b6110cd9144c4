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
    Executing {
        node: NodeId,
        class: String,
        title: String,
    },
    Progress {
        node: NodeId,
        done: usize,
        total: usize,
    },
    /// A node is done; the seconds it took.
    Finished {
        node: NodeId,
        seconds: f64,
    },
    /// An output node has something to show, now or from the cache.
    Executed {
        node: NodeId,
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
    Error(Failure),
    Interrupted {
        node: NodeId,
        class: String,
    },
}

/// Who watches a run.
pub trait Observer {
    fn event(&mut self, event: Event);

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
            Self::Executing { node, class, title } => {
                ("executing", json!({ "node": node, "class_type": class, "title": title }))
            }
            Self::Progress { node, done, total } => ("progress", json!({ "node": node, "value": done, "max": total })),
            Self::Finished { node, seconds } => ("finished", json!({ "node": node, "seconds": seconds })),
            Self::Executed { node, images, texts, cached } => {
                let paths: Vec<_> = images.iter().map(|file| file.path.display().to_string()).collect();
                let mut output = serde_json::Map::new();
                for (name, shown) in [("images", json!(images)), ("text", json!(texts))] {
                    if shown != json!([]) {
                        output.insert(name.to_owned(), shown);
                    }
                }
                ("executed", json!({ "node": node, "output": output, "paths": paths, "cached": cached }))
            }
            Self::Warning { node, message } => ("warning", json!({ "node": node, "message": message })),
            Self::Success { seconds } => ("execution_success", json!({ "seconds": seconds })),
            Self::Error(failure) => (
                "execution_error",
                json!({
                    "node_id": failure.node,
                    "node_type": failure.class,
                    "exception_message": failure.message,
                    "out_of_memory": failure.out_of_memory,
                }),
            ),
            Self::Interrupted { node, class } => {
                ("execution_interrupted", json!({ "node_id": node, "node_type": class }))
            }
        };
        json!({ "type": name, "data": data })
    }
}
