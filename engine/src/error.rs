//! How a call of a node fails.

use std::any::Any;

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
    /// The node asked for a lazy input that it does not have, or that is a constant.
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
