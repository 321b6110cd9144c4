//! Workflow files: one reader per form, all ending in the same [`Prompt`].
//!
//! [`read`] looks at the content, never at a name: a picture, video, sound or model with metadata, an API form, the
//! editor's own form in any schema, or the body of a request. What a file said that could not be kept as it was is in [`Workflow::remarks`].

mod advance;
mod api;
mod bounds;
mod build;
mod convert;
mod dynamic_prompt;
mod graph;
mod group;
mod hints;
mod json;
mod media;
mod random;
mod replace;
mod resolve;
mod subgraph;
mod ui;
mod widgets;

use serde_json::Value;
use thiserror::Error;

pub use self::advance::advance;
pub(crate) use self::hints::base_name;
pub use self::hints::{Hints, Pack};
pub use self::json::{MAX_JSON, parse as parse_json};
pub use self::media::needed;
use crate::prompt::Prompt;
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
}

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// ComfyUI's "Export (API)", or a picture with it.
    Api,
    /// What the editor saves.
    Ui,
}

/// Something that a reader found and did not take as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub severity: Severity,
    /// The node it is about, by its id in the prompt, or in its graph where it is no part of the prompt.
    pub node: Option<String>,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The file is whole, and is something else.
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
    fn json(line: usize, column: usize, message: impl Into<String>) -> Self {
        Self::Json { line, column, message: message.into() }
    }
}

/// Reads a workflow file of any form.
///
/// A picture that carries both forms runs its `prompt`, which is what was executed, and keeps its `workflow` for the
/// metadata of new pictures.
///
/// # Errors
/// When the bytes are no workflow, or one that has no meaning; the message says where and what to do.
pub fn read(bytes: &[u8], context: &Context<'_>) -> Result<Workflow, ReadError> {
    match media::texts(bytes) {
        Some(texts) => read_media(texts?, context),
        None => {
            let (value, tolerated) = json::parse(bytes)?;
            let mut workflow = read_value(&value, context)?;
            if tolerated {
                workflow.remarks.insert(0, nan_remark());
            }
            Ok(workflow)
        }
    }
}

/// Reads a workflow of any form that is parsed already, such as the body of a request.
///
/// # Errors
/// When the value is no workflow, or one that has no meaning.
pub fn read_value(value: &Value, context: &Context<'_>) -> Result<Workflow, ReadError> {
    let Value::Object(fields) = value else {
        let text = format!("{} is no workflow: give the JSON that ComfyUI saves or exports", api::brief(value));
        return Err(ReadError::NoWorkflow(text));
    };
    if fields.get("nodes").is_some_and(Value::is_array) {
        return convert::convert(value, context);
    }
    if api::recognise(fields) {
        let mut remarks = Vec::new();
        let prompt = api::read(fields, &mut remarks)?;
        return Ok(Workflow { prompt, prompt_json: value.clone(), workflow_json: None, remarks, form: Form::Api });
    }
    let embedded = value.pointer("/extra_data/extra_pnginfo/workflow").or_else(|| fields.get("workflow"));
    let embedded = embedded.filter(|workflow| workflow.get("nodes").is_some_and(Value::is_array));
    match (fields.get("prompt"), embedded) {
        (Some(Value::Object(prompt)), _) if prompt.is_empty() || api::recognise(prompt) => {
            let mut remarks = Vec::new();
            let prompt = api::read(prompt, &mut remarks)?;
            let prompt_json = fields["prompt"].clone();
            Ok(Workflow { prompt, prompt_json, workflow_json: embedded.cloned(), remarks, form: Form::Api })
        }
        (_, Some(workflow)) => convert::convert(workflow, context),
        _ => Err(ReadError::NoWorkflow(no_workflow(fields))),
    }
}

fn no_workflow(fields: &serde_json::Map<String, Value>) -> String {
    let what = match fields.keys().next() {
        None => "the object is empty".to_owned(),
        Some(key) if key.len() <= 60 => format!("the object has neither nodes nor a prompt (its first key is `{key}`)"),
        Some(_) => "the object has neither nodes nor a prompt".to_owned(),
    };
    format!("{what}: give the JSON that ComfyUI saves or exports")
}

fn nan_remark() -> Remark {
    Remark::general(Severity::Note, "`NaN` or an infinity, which JSON does not have, was read as null")
}

fn read_media(texts: media::Texts, context: &Context<'_>) -> Result<Workflow, ReadError> {
    let mut problems: Vec<_> =
        texts.problems.iter().map(|problem| Remark::general(Severity::Warning, problem.clone())).collect();
    let text = |keyword: &str| texts.by_keyword.get(keyword).filter(|text| !text.trim().is_empty());
    let parsed = |keyword: &str, text: &String| {
        json::parse(text.as_bytes())
            .map_err(|error| ReadError::Embedded { keyword: keyword.into(), error: error.into() })
    };
    let editor = text("workflow").map(|text| parsed("workflow", text));
    let Some(prompt) = text("prompt") else {
        let Some(editor) = editor else { return Err(ReadError::NoWorkflow(no_metadata(&texts))) };
        let (editor, _) = editor?;
        let mut workflow = read_value(&editor, context)?;
        workflow.remarks.splice(0..0, problems);
        return Ok(workflow);
    };
    let executed = parsed("prompt", prompt).and_then(|(prompt, nan)| Ok((read_value(&prompt, context)?, nan)));
    let (mut workflow, tolerated) = match (executed, &editor) {
        (Ok(executed), _) => executed,
        // The editor's form is the better half of a damaged file.
        (Err(error), Some(Ok((editor, nan)))) => {
            let workflow = read_value(editor, context).map_err(|_| error.clone())?;
            problems.push(Remark::general(Severity::Warning, format!("{error}; its `workflow` is read instead")));
            (workflow, *nan)
        }
        (Err(error), _) => return Err(error),
    };
    match editor {
        Some(Ok((editor, _))) if editor.is_object() && workflow.workflow_json.is_none() => {
            workflow.workflow_json = Some(editor);
        }
        Some(Err(error)) => problems.push(Remark::general(Severity::Warning, format!("{error}; it is left out"))),
        _ => {}
    }
    problems.extend(tolerated.then(nan_remark));
    workflow.remarks.splice(0..0, problems);
    Ok(workflow)
}

fn no_metadata(texts: &media::Texts) -> String {
    let what = texts.what;
    let mut message = if texts.by_keyword.contains_key("parameters") {
        format!(
            "this is {what} without a workflow, with only the `parameters` of AUTOMATIC1111's web UI, which is another \
             program's: rebuild it in ComfyUI and save that"
        )
    } else {
        format!(
            "this is {what} without a workflow in its metadata: give one that ComfyUI saved, before any other program \
             touched it"
        )
    };
    for problem in &texts.problems {
        message.push_str("; ");
        message.push_str(problem);
    }
    message
}

#[cfg(test)]
mod tests;
