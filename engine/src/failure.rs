//! How a run fails, and the words for it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::prompt::NodeId;

/// A node that stopped a run. As JSON it is ComfyUI's `execution_error` without prompt id, outputs and time, and with our
/// words for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Report", try_from = "Report")]
pub struct Failure {
    /// The node of the workflow. For a failure in a node made at run time: the workflow's node that it descends from.
    pub node: NodeId,
    pub class: String,
    pub title: Option<String>,
    /// The node made at run time in which it happened, and its class.
    pub inside: Option<(NodeId, String)>,
    pub cause: Cause,
    pub message: String,
    /// What the node was given, as far as it can be shown: for each input a list, as sockets carry lists.
    pub inputs: IndexMap<String, Vec<Json>>,
    /// The nodes that were done in this run.
    pub executed: Vec<NodeId>,
}

/// Why a run stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The node failed.
    Failed,
    /// Memory ran out, on the CPU or on a device.
    OutOfMemory,
    /// The node was asked for what is not supported yet.
    Unsupported,
    /// Nodes made at run time depend on each other. The cycle, with its first node at both ends.
    Cycle(Vec<NodeId>),
    /// A node asked for a lazy input that it does not have, or that is a constant.
    NodeInput,
}

impl Failure {
    pub fn out_of_memory(&self) -> bool {
        self.cause == Cause::OutOfMemory
    }

    /// The id of the node in which it happened.
    pub fn place(&self) -> &NodeId {
        self.inside.as_ref().map_or(&self.node, |(id, _)| id)
    }

    /// The node's inputs for people, `a = 1, b = IMAGE 1 x 64 x 64 x 3`; empty if there are none.
    pub fn inputs_in_words(&self) -> String {
        let each = self.inputs.iter().map(|(name, values)| {
            let values: Vec<_> = values.iter().map(|value| shortened(&value.to_string())).collect();
            match &values[..] {
                [one] => format!("{name} = {one}"),
                many => format!("{name} = [{}]", shortened(&many.join(", "))),
            }
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

/// How much of a value is shown, in characters.
const LONGEST_VALUE: usize = 80;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} ({})", self.node, self.class)?;
        if let Some((id, class)) = &self.inside {
            write!(f, ", in node {id} ({class}) that it made")?;
        }
        match &self.cause {
            Cause::Cycle(way) => {
                let way: Vec<_> = way.iter().map(NodeId::as_str).collect();
                write!(
                    f,
                    ": the nodes that it made depend on each other: {}; remove one of these links",
                    way.join(" -> ")
                )
            }
            Cause::OutOfMemory => {
                write!(f, ": {}; use a smaller picture or batch, or a device with more memory", self.message)
            }
            Cause::Failed | Cause::Unsupported | Cause::NodeInput => write!(f, ": {}", self.message),
        }
    }
}

impl std::error::Error for Failure {}

/// ComfyUI's words behind an out-of-memory error.
const MEMORY_TIP: &str = "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might \
have accidentally set the batch_size to a large number.";

/// Keys and values of `execution_error`, and behind them what only we say.
#[derive(Serialize, Deserialize)]
struct Report {
    node_id: NodeId,
    node_type: String,
    executed: Vec<NodeId>,
    exception_message: String,
    exception_type: String,
    traceback: Vec<String>,
    /// An object of lists; an empty array where nodes depend on each other.
    current_inputs: Inputs,
    inside: Option<Inside>,
    out_of_memory: bool,
    message: String,
    #[serde(default)]
    unsupported: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cycle: Vec<NodeId>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Inputs {
    Named(IndexMap<String, Vec<Json>>),
    None([(); 0]),
}

#[derive(Serialize, Deserialize)]
struct Inside {
    node_id: NodeId,
    node_type: String,
}

impl From<Failure> for Report {
    fn from(failure: Failure) -> Self {
        let message = failure.to_string();
        let text = failure.message;
        let (exception_type, exception_message) = match &failure.cause {
            Cause::Failed | Cause::Unsupported => ("RuntimeError", format!("{text}\n")),
            Cause::OutOfMemory => ("torch.OutOfMemoryError", format!("{text}\n{MEMORY_TIP}")),
            Cause::Cycle(_) => ("graph.DependencyCycleError", text),
            Cause::NodeInput => ("comfy_execution.graph.NodeInputError", format!("{text}\n")),
        };
        let out_of_memory = failure.cause == Cause::OutOfMemory;
        let unsupported = failure.cause == Cause::Unsupported;
        let (current_inputs, cycle) = match failure.cause {
            Cause::Cycle(way) => (Inputs::None([]), way),
            _ => (Inputs::Named(failure.inputs), Vec::new()),
        };
        Self {
            node_id: failure.node,
            node_type: failure.class,
            executed: failure.executed,
            exception_message,
            exception_type: exception_type.to_owned(),
            traceback: Vec::new(),
            current_inputs,
            inside: failure.inside.map(|(node_id, node_type)| Inside { node_id, node_type }),
            out_of_memory,
            message,
            unsupported,
            title: failure.title,
            cycle,
        }
    }
}

impl TryFrom<Report> for Failure {
    type Error = String;

    fn try_from(report: Report) -> Result<Self, String> {
        let (cause, behind) = match report.exception_type.as_str() {
            "RuntimeError" if report.unsupported => (Cause::Unsupported, "\n".to_owned()),
            "RuntimeError" => (Cause::Failed, "\n".to_owned()),
            "torch.OutOfMemoryError" => (Cause::OutOfMemory, format!("\n{MEMORY_TIP}")),
            "graph.DependencyCycleError" => (Cause::Cycle(report.cycle), String::new()),
            "comfy_execution.graph.NodeInputError" => (Cause::NodeInput, "\n".to_owned()),
            other => return Err(format!("{other} is no type of exception that redraft reports")),
        };
        let text = report.exception_message;
        let message = text.strip_suffix(&behind).unwrap_or(&text).to_owned();
        Ok(Self {
            node: report.node_id,
            class: report.node_type,
            title: report.title,
            inside: report.inside.map(|inside| (inside.node_id, inside.node_type)),
            cause,
            message,
            inputs: match report.current_inputs {
                Inputs::Named(inputs) => inputs,
                Inputs::None(_) => IndexMap::new(),
            },
            executed: report.executed,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn every_failure_reads_back_from_its_json() {
        for cause in [
            Cause::Failed,
            Cause::OutOfMemory,
            Cause::Unsupported,
            Cause::NodeInput,
            Cause::Cycle(vec!["1".into(), "2".into(), "1".into()]),
        ] {
            let inputs = match cause {
                Cause::Cycle(_) => IndexMap::new(),
                _ => IndexMap::from([("a".to_owned(), vec![json!(1), json!("IMAGE")])]),
            };
            let failure = Failure {
                node: "1".into(),
                class: "KSampler".into(),
                title: Some("mine".into()),
                inside: Some(("1.0.0.1".into(), "Add".into())),
                cause,
                message: "it\nfailed".into(),
                inputs,
                executed: vec!["3".into()],
            };
            let json = json!(failure);
            assert_eq!(json["node_id"], "1");
            assert_eq!(serde_json::from_value::<Failure>(json).unwrap(), failure);
        }
        assert!(serde_json::from_value::<Failure>(json!({})).is_err());
    }
}
