//! How a run fails, and the words for it.

use std::any::Any;

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use crate::prompt::NodeId;

/// Raised by [`Cx::progress`](crate::cx::Cx::progress) once the user has cancelled. A node passes it on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("cancelled")]
pub struct Cancelled;

/// Raised by a node that is asked for what redraft cannot do yet, such as a model of a family that is not there; it says what,
/// and what to do. Unlike other errors it does not count as a failure of the node: the command ends as if a class were missing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Unsupported(pub String);

/// Why a call of a node did not succeed.
#[derive(Debug)]
pub enum NodeError {
    Cancelled,
    /// Memory ran out, on the CPU or on a device; what libtorch said of it.
    OutOfMemory(String),
    Unsupported(String),
    Failed(String),
    /// The node asked for an input that nobody can give it.
    NodeInput(String),
}

/// Phrases by which libtorch and the allocators say that memory ran out.
const OUT_OF_MEMORY: [&str; 4] =
    ["CUDA out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED"];

impl NodeError {
    fn of_text(text: String) -> Self {
        if OUT_OF_MEMORY.iter().any(|phrase| text.contains(phrase)) {
            Self::OutOfMemory(text)
        } else {
            Self::Failed(text)
        }
    }

    pub fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "the node panicked without a message".to_owned());
        Self::of_text(first_line(&text))
    }
}

impl From<anyhow::Error> for NodeError {
    fn from(error: anyhow::Error) -> Self {
        if error.is::<Cancelled>() {
            Self::Cancelled
        } else if error.is::<Unsupported>() {
            Self::Unsupported(format!("{error:#}"))
        } else {
            Self::of_text(format!("{error:#}"))
        }
    }
}

/// libtorch's errors carry a C++ stack behind the first line; tch wraps them in `Torch("...")`.
fn first_line(text: &str) -> String {
    let text = text.split_once("Torch(\"").map_or(text, |(_, inner)| inner);
    let line = text.split("\\n").next().unwrap_or(text).lines().next().unwrap_or_default();
    line.trim().to_owned()
}

/// A node that stopped a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The node of the workflow. Where nodes are made at run time, the one from which they all come.
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
    /// Nodes made at run time depend on each other; the way round.
    Cycle(Vec<NodeId>),
    /// A node asked for an input that nobody can give it.
    NodeInput,
}

/// ComfyUI's words behind an out-of-memory error.
const MEMORY_TIP: &str = "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might \
have accidentally set the batch_size to a large number.";

impl Failure {
    pub fn out_of_memory(&self) -> bool {
        self.cause == Cause::OutOfMemory
    }

    /// The id of the node in which it happened.
    pub fn place(&self) -> &NodeId {
        self.inside.as_ref().map_or(&self.node, |(id, _)| id)
    }

    /// ComfyUI's `execution_error`, without prompt id, outputs and time, and with our words for people.
    pub fn to_json(&self) -> Json {
        let (exception, message) = match &self.cause {
            Cause::Failed | Cause::Unsupported => ("RuntimeError", format!("{}\n", self.message)),
            Cause::OutOfMemory => ("torch.OutOfMemoryError", format!("{}\n{MEMORY_TIP}", self.message)),
            Cause::Cycle(_) => ("graph.DependencyCycleError", self.message.clone()),
            Cause::NodeInput => ("comfy_execution.graph.NodeInputError", format!("{}\n", self.message)),
        };
        let inputs = match self.cause {
            Cause::Cycle(_) => json!([]),
            _ => json!(self.inputs),
        };
        json!({
            "node_id": self.node,
            "node_type": self.class,
            "executed": self.executed,
            "exception_message": message,
            "exception_type": exception,
            "traceback": [],
            "current_inputs": inputs,
            "inside": self.inside.as_ref().map(|(id, class)| json!({ "node_id": id, "node_type": class })),
            "out_of_memory": self.out_of_memory(),
            "message": self.to_string(),
        })
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

/// The candidate most like `name`, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
