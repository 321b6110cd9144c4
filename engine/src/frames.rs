//! A run's events as the messages that ComfyUI's server sends over its websocket, in its order.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use crate::event::Event;
use crate::prompt::NodeId;

/// Turns the events of one run into messages.
pub struct Frames {
    prompt_id: String,
    /// The workflow's nodes.
    nodes: Vec<NodeId>,
    /// The nodes that have begun, in order: steps done, steps in all, and whether it is done.
    progress: IndexMap<NodeId, (f64, f64, bool)>,
    /// Of nodes made at run time: the node that made each, and the one under whose id the user sees it.
    made: HashMap<NodeId, (NodeId, NodeId)>,
}

impl Frames {
    pub fn new(prompt_id: impl Into<String>, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self {
            prompt_id: prompt_id.into(),
            nodes: nodes.into_iter().collect(),
            progress: IndexMap::new(),
            made: HashMap::new(),
        }
    }

    /// The messages that an event stands for: `{"type", "data"}`, in order. `timestamp` is in milliseconds.
    pub fn of(&mut self, event: &Event, timestamp: u64) -> Vec<Json> {
        let stamped = |name: &str, data: Json| vec![message(name, with(data, "timestamp", json!(timestamp)))];
        let id = self.prompt_id.clone();
        match event {
            Event::Start { .. } => stamped("execution_start", json!({ "prompt_id": id })),
            Event::Cached { nodes } => stamped("execution_cached", json!({ "nodes": nodes, "prompt_id": id })),
            Event::Executing { node, display_node, .. } => {
                let state = self.state(node, (0.0, 1.0, false));
                let data = json!({ "node": node, "display_node": display_node, "prompt_id": id });
                vec![state, message("executing", data)]
            }
            Event::Progress { node, done, total } => {
                let state = self.state(node, (*done as f64, *total as f64, false));
                let data = json!({ "value": done, "max": total, "prompt_id": id, "node": node });
                vec![state, message("progress", data)]
            }
            Event::Finished { node, .. } => {
                let max = self.progress.get(node).map_or(1.0, |(_, max, _)| *max);
                vec![self.state(node, (max, max, true))]
            }
            Event::Expanded { node, made } => {
                let each = made.iter().map(|made| (made.node.clone(), (node.clone(), made.display_node.clone())));
                self.made.extend(each);
                Vec::new()
            }
            // ComfyUI tells only of nodes that show something, or that it took from its cache.
            Event::Executed { output, cached: false, .. } if output.is_empty() => Vec::new(),
            Event::Executed { node, display_node, output, .. } => {
                let output = if output.is_empty() { Json::Null } else { json!(output) };
                let data = json!({ "node": node, "display_node": display_node, "output": output, "prompt_id": id });
                vec![message("executed", data)]
            }
            Event::Blocked { node, class, message: text, executed } => {
                let data = json!({
                    "prompt_id": id, "node_id": node, "node_type": class, "executed": executed,
                    "exception_message": format!("Execution Blocked: {text}"), "exception_type": "ExecutionBlocked",
                    "traceback": [], "current_inputs": [], "current_outputs": [],
                });
                vec![message("execution_error", data)]
            }
            Event::Success { .. } => stamped("execution_success", json!({ "prompt_id": id })),
            Event::Error(failure) => {
                let mut data = json!(failure);
                if let Some(data) = data.as_object_mut() {
                    // ComfyUI's keys; ours are not sent.
                    const COMFY: [&str; 7] = [
                        "node_id",
                        "node_type",
                        "executed",
                        "exception_message",
                        "exception_type",
                        "traceback",
                        "current_inputs",
                    ];
                    data.retain(|name, _| COMFY.contains(&name.as_str()));
                }
                stamped(
                    "execution_error",
                    with(with(data, "prompt_id", json!(id)), "current_outputs", json!(self.nodes)),
                )
            }
            Event::Interrupted { node, class, executed } => {
                let data = json!({ "prompt_id": id, "node_id": node, "node_type": class, "executed": executed });
                stamped("execution_interrupted", data)
            }
            // Previews are sent as binary frames, which are not made here.
            Event::Preview { .. } | Event::Warning { .. } => Vec::new(),
        }
    }

    /// Records a node's progress and returns the message with the progress of all nodes.
    fn state(&mut self, node: &NodeId, progress: (f64, f64, bool)) -> Json {
        self.progress.insert(node.clone(), progress);
        let each = self.progress.iter().map(|(node, (value, max, done))| {
            let state = json!({
                "value": value,
                "max": max,
                "state": if *done { "finished" } else { "running" },
                "node_id": node,
                "prompt_id": self.prompt_id,
                "display_node_id": self.last(node, |(_, display)| display),
                "parent_node_id": self.made.get(node).map(|(parent, _)| parent),
                "real_node_id": self.last(node, |(parent, _)| parent),
            });
            (node.to_string(), state)
        });
        message("progress_state", json!({ "prompt_id": self.prompt_id, "nodes": each.collect::<Map<_, _>>() }))
    }

    fn last<'a>(&'a self, mut node: &'a NodeId, next: impl Fn(&'a (NodeId, NodeId)) -> &'a NodeId) -> &'a NodeId {
        while let Some(made) = self.made.get(node) {
            node = next(made);
        }
        node
    }
}

fn message(name: &str, data: Json) -> Json {
    json!({ "type": name, "data": data })
}

fn with(mut object: Json, name: &str, value: Json) -> Json {
    object[name] = value;
    object
}
