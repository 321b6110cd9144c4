//! JSON that holds a workflow: either form by itself, or a body in which clients, workers and servers pass it around.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::json;
use super::types::{HandedIn, ReadError};
use super::{api, base64};

/// How deep a workflow may stand in a body.
const MAX_DEPTH: usize = 4;
/// The keys under which bodies hold a workflow: ComfyUI's own, workers', what the editor makes of a graph, and around these.
const KEYS: [&str; 5] = ["prompt", "workflow", "output", "input", "inputs"];

/// What a body holds.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    pub(super) prompt: Option<Cow<'a, Value>>,
    pub(super) editor: Option<Cow<'a, Value>>,
    pub(super) files: Vec<HandedIn>,
}

/// Finds the workflow in a value.
///
/// # Errors
/// When there is none, or several of which none is meant more than the others.
pub(super) fn find(value: &Value) -> Result<Body<'_>, ReadError> {
    let mut body = Body::default();
    look(value, &mut body, 0)?;
    if body.prompt.is_none() && body.editor.is_none() {
        return Err(ReadError::NoWorkflow(none(value)));
    }
    Ok(body)
}

fn is_editor(value: &Value) -> bool {
    value.get("nodes").is_some_and(Value::is_array)
}

fn look<'a>(value: &'a Value, body: &mut Body<'a>, depth: usize) -> Result<(), ReadError> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Array(item) => return look_in_item(item, body, depth),
        Value::String(text) if depth > 0 && text.trim_start().starts_with('{') => {
            return look_in_text(text, body, depth);
        }
        _ => return Ok(()),
    };
    if is_editor(value) {
        body.editor.get_or_insert(Cow::Borrowed(value));
        return Ok(());
    }
    if api::recognise(fields) {
        body.prompt.get_or_insert(Cow::Borrowed(value));
        return Ok(());
    }
    hand_in(fields, &mut body.files)?;
    if let Some(editor) = value.pointer("/extra_data/extra_pnginfo/workflow").filter(|editor| is_editor(editor)) {
        body.editor.get_or_insert(Cow::Borrowed(editor));
    }
    for (key, inner) in KEYS.iter().filter_map(|key| fields.get_key_value(*key)) {
        if key == "prompt" && inner.as_object().is_some_and(Map::is_empty) {
            body.prompt.get_or_insert(Cow::Borrowed(inner));
        }
        look(inner, body, depth + 1)?;
    }
    if body.prompt.is_some() || body.editor.is_some() {
        return Ok(());
    }
    // A server's history: runs by their ids.
    let runs: Vec<_> = fields.values().filter(|run| run.get("prompt").is_some()).collect();
    match runs.as_slice() {
        [run] => look(run, body, depth + 1),
        [] => Ok(()),
        runs => {
            let text = format!("the object holds {} runs of a server's history: give one of them", runs.len());
            Err(ReadError::NoWorkflow(text))
        }
    }
}

/// An entry of a server's queue or history, `[number, id, prompt, extra data, ...]`, or a list of one workflow.
fn look_in_item<'a>(item: &'a [Value], body: &mut Body<'a>, depth: usize) -> Result<(), ReadError> {
    match item {
        [one] => look(one, body, depth + 1),
        [Value::Number(_), Value::String(_), prompt @ Value::Object(_), rest @ ..] => {
            if let Some(editor) = rest.first().and_then(|extra| extra.pointer("/extra_pnginfo/workflow")) {
                look(editor, body, depth + 1)?;
            }
            look(prompt, body, depth + 1)
        }
        _ => Ok(()),
    }
}

/// Some clients send the workflow as a text.
fn look_in_text(text: &str, body: &mut Body<'_>, depth: usize) -> Result<(), ReadError> {
    let Ok((inner, _)) = json::parse(text.as_bytes()) else { return Ok(()) };
    let mut found = Body::default();
    look(&inner, &mut found, depth + 1)?;
    let owned = |part: Option<Cow<'_, Value>>| part.map(|part| Cow::Owned(part.into_owned()));
    body.prompt = body.prompt.take().or(owned(found.prompt));
    body.editor = body.editor.take().or(owned(found.editor));
    body.files.append(&mut found.files);
    Ok(())
}

/// Pictures beside the workflow: `"images": [{"name": ..., "image": BASE64}]`.
fn hand_in(fields: &Map<String, Value>, files: &mut Vec<HandedIn>) -> Result<(), ReadError> {
    for entry in fields.get("images").and_then(Value::as_array).into_iter().flatten() {
        let (Some(name), Some(text)) = (entry["name"].as_str(), entry["image"].as_str()) else { continue };
        let text = text.split_once(";base64,").map_or(text, |(_, text)| text);
        let bytes = base64::decode(text).ok_or_else(|| {
            ReadError::NoWorkflow(format!("the picture `{}` in `images` is no base64", name.escape_debug()))
        })?;
        files.push(HandedIn { name: name.to_owned(), bytes });
    }
    Ok(())
}

fn none(value: &Value) -> String {
    let what = match value {
        Value::Object(fields) => match fields.keys().next() {
            None => "the object is empty".to_owned(),
            Some(key) if key.len() <= 60 => {
                format!("the object has neither nodes nor a prompt (its first key is `{}`)", key.escape_debug())
            }
            Some(_) => "the object has neither nodes nor a prompt".to_owned(),
        },
        other => format!("{} is no workflow", api::brief(other)),
    };
    format!("{what}: give the JSON that ComfyUI saves or exports")
}
