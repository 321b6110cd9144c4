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
mod stored;
mod subgraph;
mod types;
mod ui;
mod widgets;

use serde_json::Value;

pub use self::advance::advance;
pub(crate) use self::hints::base_name;
pub use self::hints::{Hints, Pack};
pub use self::json::{MAX_JSON, parse as parse_json};
pub use self::media::needed;
pub use self::types::{Context, Form, LocalTime, ReadError, Remark, Severity, Workflow};

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
