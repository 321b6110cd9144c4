//! How a call of a node fails.

use std::any::Any;
use std::borrow::Cow;

/// Raised by [`Cx::progress`](crate::cx::Cx::progress) once the user has cancelled. A node passes it on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("cancelled")]
pub struct Cancelled;

/// Raised by a node that is asked for what redraft cannot do yet, such as a model of a family that is not there, or that needs a file which
/// the user has to bring; it says what, and what to do. Unlike other errors it does not count as a failure of the node: the command ends
/// as if a class were missing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Unsupported(pub String);

/// Raised by a node that would need more memory than there is: see [`memory::ask`](crate::memory::ask).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct OutOfMemory(pub String);

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
const OUT_OF_MEMORY: [&str; 7] = [
    "CUDA out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "bad_alloc",
    "capacity overflow",
    "memory allocation of",
];

/// What libtorch's errors hold behind their first line, and tch's around it.
const OF_LIBTORCH: [&str; 3] = ["Exception raised from", "Torch(\"", "Storage size calculation overflowed"];

impl NodeError {
    fn of_text(text: String) -> Self {
        if OUT_OF_MEMORY.iter().any(|phrase| text.contains(phrase)) {
            Self::OutOfMemory(text)
        } else {
            Self::Failed(text)
        }
    }

    /// A panic: of libtorch, whose operators panic where their inputs do not fit, or of Rust's own checks. Its text is for
    /// programmers, and goes to the log.
    pub fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        Self::of_library(&text)
    }

    fn of_library(text: &str) -> Self {
        tracing::debug!("{text}");
        let about = first_line(text);
        if OUT_OF_MEMORY.iter().any(|phrase| text.contains(phrase)) || text.contains("Storage size calculation") {
            let size = about.split_once("tried to allocate ").and_then(|(_, rest)| rest.split_whitespace().next());
            let size = size.and_then(|size| size.parse().ok()).map(crate::memory::in_words);
            return Self::OutOfMemory(match size {
                Some(size) => format!("out of memory: {size} more are not there"),
                None => "out of memory: what it makes is larger than what is there".to_owned(),
            });
        }
        let sizes = ["must match", "shape", "size", "dimension", "broadcast", "index out of"];
        Self::Failed(match sizes.iter().any(|word| about.contains(word)) {
            true => "its inputs do not fit together in size, or are too small for it; give it others".to_owned(),
            false => "it cannot work with these inputs; give it others".to_owned(),
        })
    }
}

impl From<anyhow::Error> for NodeError {
    fn from(error: anyhow::Error) -> Self {
        if error.is::<Cancelled>() {
            Self::Cancelled
        } else if error.is::<Unsupported>() {
            Self::Unsupported(format!("{error:#}"))
        } else if error.is::<OutOfMemory>() {
            Self::OutOfMemory(format!("{error:#}"))
        } else {
            let text = format!("{error:#}");
            let of_library = OF_LIBTORCH.iter().any(|phrase| text.contains(phrase));
            if of_library { Self::of_library(&text) } else { Self::of_text(text) }
        }
    }
}

/// libtorch's errors carry a C++ stack behind the first line; tch wraps them in `Torch("...")`.
fn first_line(text: &str) -> String {
    let text = text.split_once("Torch(\"").map_or(text, |(_, inner)| inner);
    let line = text.split("\\n").next().unwrap_or(text).lines().next().unwrap_or_default();
    line.trim().to_owned()
}

/// A text as people are shown it: of a long one the beginning, with its length.
pub fn beginning(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 10_000;
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    Cow::Owned(format!("{}... ({} bytes in all)", &text[..end], text.len()))
}

/// The candidate most like `name`, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The likeness takes as long as both lengths multiplied, and nobody misspells a name so long.
    const LONGEST: usize = 250;
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
