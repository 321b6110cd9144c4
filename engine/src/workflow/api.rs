//! The API form: what the server is sent, and what pictures carry as `prompt`.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::types::{ReadError, Remark};
use crate::prompt::{Given, NodeId, Prompt, PromptNode};

/// Whether this looks like an API form: an entry is an object with a `class_type`, or all entries have the shape of
/// nodes.
pub(super) fn recognise(entries: &Map<String, Value>) -> bool {
    entries.values().any(|node| node.get("class_type").is_some())
}

/// Reads the API form.
///
/// # Errors
/// Every entry that is no node, named by its id, all at once.
pub(super) fn read(entries: &Map<String, Value>, remarks: &mut Vec<Remark>) -> Result<Prompt, ReadError> {
    let mut problems = Vec::new();
    let mut nodes = IndexMap::with_capacity(entries.len());
    for (id, entry) in entries {
        match node(id, entry, remarks) {
            Ok(node) => {
                nodes.insert(NodeId::from(id.as_str()), node);
            }
            Err(problem) => problems.push(format!("node `{id}`: {problem}")),
        }
    }
    if problems.is_empty() { Ok(Prompt { nodes }) } else { Err(ReadError::Nodes(problems)) }
}

fn node(id: &str, entry: &Value, remarks: &mut Vec<Remark>) -> Result<PromptNode, String> {
    let Value::Object(fields) = entry else {
        return Err(format!(
            "{} stands where a node belongs: give an object with `class_type` and `inputs`",
            brief(entry)
        ));
    };
    let class_type = match fields.get("class_type") {
        Some(Value::String(class)) => class.clone(),
        Some(other) => return Err(format!("`class_type` is {}: give the class's name as a string", brief(other))),
        None => return Err("no `class_type`: give the class's name".to_owned()),
    };
    let inputs = match fields.get("inputs") {
        Some(Value::Object(inputs)) => inputs,
        Some(other) => return Err(format!("`inputs` is {}: give an object", brief(other))),
        None => return Err("no `inputs`: give an object, `{}` where there are none".to_owned()),
    };
    let inputs = inputs.iter().map(|(name, value)| {
        let given = given(value);
        if let Given::Malformed(_) = &given {
            let text = format!("input `{name}`: {} is no link: write `[\"id\", slot]`", brief(value));
            remarks.push(Remark::note(id, text));
        }
        (name.clone(), given)
    });
    let title = fields.get("_meta").and_then(|meta| meta.get("title")).and_then(Value::as_str);
    Ok(PromptNode { class_type, inputs: inputs.collect(), title: title.map(str::to_owned) })
}

/// What a value in `inputs` means: a link, or a constant without its wrapping `{"__value__": [...]}`, or a bare array
/// that is neither.
pub(super) fn given(value: &Value) -> Given {
    if let Value::Array(pair) = value
        && let [Value::String(node), slot] = pair.as_slice()
        && let Some(slot) = slot_number(slot)
    {
        return Given::link(node.as_str(), slot);
    }
    match value {
        Value::Array(_) => Given::Malformed(value.clone()),
        value => Given::Constant(unwrapped(value).clone()),
    }
}

/// The value without its wrapping `{"__value__": ...}`, if it has one.
pub(super) fn unwrapped(value: &Value) -> &Value {
    value.as_object().and_then(|fields| fields.get("__value__")).unwrap_or(value)
}

/// An output's number; JavaScript may have written `0.0`.
fn slot_number(value: &Value) -> Option<usize> {
    let float = || value.as_f64().filter(|v| v.fract() == 0.0 && (0.0..1e9).contains(v)).map(|v| v as u64);
    usize::try_from(value.as_u64().or_else(float)?).ok()
}

/// A value as it may stand in a message: whole when short.
pub(super) fn brief(value: &Value) -> String {
    let kind = match value {
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
        _ => "a long value",
    };
    // The size is checked first: an untrusted value may be megabytes long.
    let small = match value {
        Value::String(text) => text.len() <= 60,
        Value::Array(items) => items.len() <= 8 && items.iter().all(|v| !v.is_array() && !v.is_object()),
        Value::Object(fields) => fields.is_empty(),
        _ => true,
    };
    let text = if small { value.to_string() } else { String::new() };
    if text.is_empty() || text.len() > 80 { kind.to_owned() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn links_and_constants_are_told_apart() {
        assert_eq!(given(&json!(["4", 1])), Given::link("4", 1));
        assert_eq!(given(&json!(["4", 1.0])), Given::link("4", 1));
        for array in [json!([4, 1]), json!(["4", -1]), json!(["4", 1, 2]), json!(["4", "1"]), json!([])] {
            assert_eq!(given(&array), Given::Malformed(array.clone()));
            assert_eq!(given(&array).to_json(), array);
        }
        for constant in [json!("4"), json!(null), json!({"a": [1]})] {
            assert_eq!(given(&constant), Given::Constant(constant.clone()));
        }
        assert_eq!(given(&json!({"__value__": ["4", 1]})), Given::Constant(json!(["4", 1])));
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let broken = json!({
            "1": {"class_type": 5, "inputs": {}},
            "2": {"inputs": {}},
            "3": {"class_type": "A"},
            "4": {"class_type": "A", "inputs": []},
            "5": null,
            "6": {"class_type": "A", "inputs": {}},
        });
        let error = read(broken.as_object().unwrap(), &mut Vec::new()).unwrap_err().to_string();
        for problem in [
            "node `1`: `class_type` is `5`: give the class's name as a string",
            "node `2`: no `class_type`: give the class's name",
            "node `3`: no `inputs`: give an object, `{}` where there are none",
            "node `4`: `inputs` is `[]`: give an object",
            "node `5`: `null` stands where a node belongs",
        ] {
            assert!(error.contains(problem), "{error}");
        }
        assert!(!error.contains("`6`"));
    }

    #[test]
    fn what_is_read_is_written_back() {
        let text = json!({"3": {"inputs": {"a": ["4", 1], "b": {"__value__": [1, 2]}, "c": 18446744073709551615u64},
            "class_type": "K", "_meta": {"title": "T"}}});
        let prompt = read(text.as_object().unwrap(), &mut Vec::new()).unwrap();
        assert_eq!(prompt.to_json().to_string(), text.to_string());
    }
}
