//! The types that all readers of workflow files use: context, result, remarks, errors.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::prompt::{NodeId, Prompt};
use crate::schema::{Folders, Schemas};

/// What a conversion must know beyond the file.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The declarations of the classes. Only the editor's form needs them.
    pub schemas: &'a dyn Schemas,
    /// The files that a combo without a stored value chooses its first from.
    pub folders: &'a dyn Folders,
    /// Decides between the options of a dynamic prompt, `{a|b}`: the same seed chooses the same.
    pub seed: u64,
    /// What `%date:...%` in a file name's prefix stands for.
    pub now: LocalTime,
}

/// A moment on the user's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    pub year: i32,
    /// From 1.
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
}

impl Default for LocalTime {
    fn default() -> Self {
        Self { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0 }
    }
}

/// A workflow file, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// What is to be executed.
    pub prompt: Prompt,
    /// The API form for the metadata of what is saved: as it stood in the file, or as it was converted.
    pub prompt_json: Value,
    /// The editor's form for the same metadata, where the file holds one, with the options of dynamic prompts chosen.
    pub workflow_json: Option<Value>,
    /// What was found on the way that the user may want to know, in the order in which it was found.
    pub remarks: Vec<Remark>,
    /// What kind of file this was.
    pub form: Form,
    /// Pictures that came with it, for the input folder.
    pub files: Vec<HandedIn>,
    /// Inputs that lack what feeds them, because that is muted.
    pub unfed: Vec<Unfed>,
}

/// An input that is left out because a muted node feeds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfed {
    pub node: NodeId,
    pub input: String,
    /// The muted node.
    pub by: String,
}

impl Unfed {
    /// What is said of it.
    pub(super) fn remark(&self) -> Remark {
        let text = format!("input `{}` is fed by node `{}`, which is muted: it is left out", self.input, self.by);
        Remark::warning(self.node.as_str(), text)
    }
}

/// A file that came with a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedIn {
    /// The name by which nodes call it; it may hold folders.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// ComfyUI's "Export (API)", or a picture with it.
    Api,
    /// What the editor saves.
    Ui,
}

/// An input that is set from outside, in place of what the file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The node, by its id in the prompt.
    pub node: NodeId,
    pub input: String,
    pub value: Value,
}

/// Something that a reader found and did not take as an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    pub severity: Severity,
    /// The node it is about, by its id in the prompt, or in its graph where it is no part of the prompt.
    pub node: Option<String>,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is lost.
    Note,
    /// The prompt may be other than the file's author meant.
    Warning,
}

impl Remark {
    pub(crate) fn warning(node: &str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, node: Some(node.to_owned()), text: text.into() }
    }

    pub(crate) fn note(node: &str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Note, node: Some(node.to_owned()), text: text.into() }
    }

    pub(crate) fn general(severity: Severity, text: impl Into<String>) -> Self {
        Self { severity, node: None, text: text.into() }
    }
}

impl std::fmt::Display for Remark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.node {
            Some(node) => write!(f, "node `{}`: {}", node.escape_debug(), self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Why a file could not be read as a workflow.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    #[error("{bytes} bytes are more than the {limit} that a workflow may have: give the workflow itself")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the JSON has more than {limit} values, which no workflow has: give the workflow itself")]
    TooMany { limit: usize },
    #[error("line {line}, column {column}: {message}")]
    Json { line: usize, column: usize, message: String },
    /// The text in a picture or the like is broken.
    #[error("`{keyword}` in the file's metadata: {error}")]
    Embedded { keyword: String, error: Box<ReadError> },
    /// The file is intact, but is no workflow.
    #[error("{0}")]
    NoWorkflow(String),
    /// Nodes that are none, one line for each.
    #[error("the prompt is malformed:\n{}", .0.join("\n"))]
    Nodes(Vec<String>),
    /// The editor's form cannot be expanded.
    #[error("{0}")]
    Graph(String),
}

impl ReadError {
    pub(super) fn json(line: usize, column: usize, message: impl Into<String>) -> Self {
        Self::Json { line, column, message: message.into() }
    }
}
