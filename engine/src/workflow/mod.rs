//! Workflow files: one reader per form, all ending in the same [`Prompt`].
//!
//! [`read`] looks at the content, never at a name: a picture, video, sound or model with metadata, an API form, the
//! editor's own form in any schema, or the body of a request. What a file said that could not be kept as it was is in [`Workflow::remarks`].

mod advance;
mod api;
mod app;
mod base64;
mod body;
mod bounds;
mod build;
mod convert;
mod dynamic_prompt;
mod editions;
mod emission;
mod flat;
mod graph;
mod group;
mod hints;
mod json;
mod layout;
mod media;
mod mend;
mod old_widgets;
mod overrides;
mod passed_on;
mod random;
mod replace;
mod replacements;
mod resolve;
mod stored;
mod subgraph;
mod types;
mod ui;
mod widgets;
mod write_back;

use std::borrow::Cow;

use serde_json::{Value, json};

pub use self::advance::advance;
pub use self::app::{App, app};
use self::body::Body;
pub(crate) use self::hints::base_name;
pub use self::hints::{Hints, Pack};
pub use self::json::{MAX_JSON, parse as parse_json};
pub use self::media::needed;
pub use self::types::{Context, Form, HandedIn, LocalTime, Override, ReadError, Remark, Severity, Unfed, Workflow};

/// Reads a workflow file of any form.
///
/// A picture that carries both forms runs its `prompt`, which is what was executed, and keeps its `workflow` for the
/// metadata of new pictures.
///
/// # Errors
/// When the bytes are no workflow, or one that has no meaning; the message says where and what to do.
pub fn read(bytes: &[u8], context: &Context<'_>) -> Result<Workflow, ReadError> {
    read_with(bytes, context, &[])
}

/// Reads a workflow file with inputs set from outside. They come before all else: the options of dynamic prompts, and names and
/// dates in file names, are worked on in them and with them. They are written into the editor's form, too.
///
/// # Errors
/// As [`read`].
pub fn read_with(bytes: &[u8], context: &Context<'_>, overrides: &[Override]) -> Result<Workflow, ReadError> {
    match media::texts(bytes) {
        Some(texts) => read_media(texts?, context, overrides),
        None => {
            let (value, tolerated) = json::parse(bytes)?;
            let mut workflow = read_value_with(&value, context, overrides)?;
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
    read_value_with(value, context, &[])
}

/// The same with inputs set from outside; see [`read_with`].
///
/// # Errors
/// As [`read_value`].
pub fn read_value_with(value: &Value, context: &Context<'_>, overrides: &[Override]) -> Result<Workflow, ReadError> {
    let Body { prompt, editor, files } = body::find(value)?;
    let mut workflow = match (prompt, editor) {
        (Some(prompt), editor) => {
            let mut remarks = Vec::new();
            let entries = prompt.as_object().cloned().unwrap_or_default();
            let mut read = api::read(&entries, &mut remarks)?;
            replacements::in_prompt(&mut read, context.schemas, &mut remarks);
            editions::in_prompt(&mut read, context, &mut remarks);
            passed_on::link_through(&mut read, context.schemas, &mut remarks);
            let mut workflow = Workflow {
                prompt: read,
                prompt_json: prompt.into_owned(),
                workflow_json: editor.map(Cow::into_owned),
                remarks,
                form: Form::Api,
                files: Vec::new(),
                unfed: Vec::new(),
            };
            if !overrides.is_empty() {
                overrides::set_in_prompt(&mut workflow, context, overrides);
            }
            workflow
        }
        (None, Some(editor)) if overrides.is_empty() => convert::convert(&editor, context)?,
        (None, Some(editor)) => overrides::set_in_editor_form(&editor, context, overrides)?,
        (None, None) => return Err(ReadError::NoWorkflow("there is no workflow in it".to_owned())),
    };
    workflow.files = files;
    Ok(workflow)
}

fn nan_remark() -> Remark {
    Remark::general(Severity::Note, "`NaN` or an infinity, which JSON does not have, was read as null")
}

fn read_media(texts: media::Texts, context: &Context<'_>, overrides: &[Override]) -> Result<Workflow, ReadError> {
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
        let mut workflow = read_value_with(&editor, context, overrides)?;
        workflow.remarks.splice(0..0, problems);
        return Ok(workflow);
    };
    // Both are read as one body, so that what is set is set in both.
    let executed = parsed("prompt", prompt).and_then(|(prompt, nan)| {
        let beside = editor.as_ref().and_then(|editor| editor.as_ref().ok()).map(|(editor, _)| editor);
        let beside = beside.filter(|editor| editor.is_object() && prompt.get("extra_data").is_none());
        let body = match beside {
            Some(editor) if body::find(&prompt)?.editor.is_none() => {
                json!({ "prompt": prompt, "extra_data": { "extra_pnginfo": { "workflow": editor } } })
            }
            _ => prompt,
        };
        Ok((read_value_with(&body, context, overrides)?, nan))
    });
    let (mut workflow, tolerated) = match (executed, &editor) {
        (Ok(executed), _) => executed,
        // The editor's form is the better half of a damaged file.
        (Err(error), Some(Ok((editor, nan)))) => {
            let workflow = read_value_with(editor, context, overrides).map_err(|_| error.clone())?;
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
