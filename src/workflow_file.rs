//! From a file to a prompt that can be planned: reading, `--set`, and stand-ins for what is missing.

use std::io::Read;
use std::path::Path;

use chrono::{Datelike, Timelike};
use redraft_engine::files;
use redraft_engine::folders::FolderPaths;
use redraft_engine::names;
use redraft_engine::node::Registry;
use redraft_engine::prompt::{Given, NodeId, Prompt};
use redraft_engine::schema::Kind;
use redraft_engine::settable::{self, Addresses};
use redraft_engine::stock::Known;
use redraft_engine::workflow::{self, Context, LocalTime, MAX_JSON, Workflow};
use serde_json::Value as Json;

use crate::args::Changes;
use crate::exit::{Outcome, Stop};
use crate::substitutes::{self, Substitute};

/// Reads a workflow file and makes the changes that the command line asks for. `note` is told of each file that stands in for
/// another.
pub(crate) fn load(
    file: &Path,
    changes: &Changes,
    substitutes: &[Substitute],
    registry: &Registry,
    folders: &FolderPaths,
    note: &mut dyn FnMut(String),
) -> Outcome<Workflow> {
    let mut workflow = read(file, changes.prompt_seed, registry, folders)?;
    if let Some(file) = &changes.inputs {
        apply_inputs(&mut workflow.prompt, file, registry)?;
    }
    for set in &changes.sets {
        apply_set(&mut workflow.prompt, set, registry).map_err(|e| Stop::wrong(format!("--set '{set}': {e}")))?;
    }
    if !changes.strict_names {
        for renamed in names::settle(&mut workflow.prompt, &Known(registry), folders) {
            note(format!("{}{renamed}", if renamed.elsewhere { "warning: " } else { "" }));
        }
    }
    substitutes::apply(&mut workflow.prompt, substitutes, registry, folders, note);
    Ok(workflow)
}

/// Reads a workflow file of any form.
pub(crate) fn read(file: &Path, seed: u64, registry: &Registry, folders: &FolderPaths) -> Outcome<Workflow> {
    let bytes = read_bytes(file)?;
    let now = chrono::Local::now();
    let now = LocalTime {
        year: now.year(),
        month: now.month(),
        day: now.day(),
        hour: now.hour(),
        minute: now.minute(),
        second: now.second(),
    };
    let context = Context { schemas: &Known(registry), folders, seed, now };
    workflow::read(&bytes, &context).map_err(|error| Stop::wrong(format!("{}: {error}", file.display())))
}

/// The most bytes that are read: a picture may be larger than a workflow; its metadata may not.
const MAX_BYTES: u64 = 16 * MAX_JSON as u64;

/// What a reader looks at: the whole file, or the header of a model, which may be far larger. A pipe or a device does not say
/// how many bytes it has: no more than allowed are taken.
fn read_bytes(file: &Path) -> Outcome<Vec<u8>> {
    let too_large =
        || Stop::wrong(format!("{}: more than {MAX_BYTES} bytes are no workflow; name another file", file.display()));
    let named = |error: std::io::Error| Stop::wrong(format!("{}: {error}", file.display()));
    let mut opened = files::open(file).map_err(named)?;
    let mut bytes = Vec::new();
    (&mut opened).take(16).read_to_end(&mut bytes).map_err(Stop::wrong)?;
    let header = workflow::needed(&bytes);
    let size = opened.metadata().map_err(Stop::wrong)?.len();
    if header.unwrap_or(size) > MAX_BYTES {
        return Err(too_large());
    }
    let wanted = header.unwrap_or(MAX_BYTES + 1).saturating_sub(bytes.len() as u64);
    opened.take(wanted).read_to_end(&mut bytes).map_err(Stop::wrong)?;
    if bytes.len() as u64 > MAX_BYTES { Err(too_large()) } else { Ok(bytes) }
}

/// Sets what a file says: a JSON object of values by address.
fn apply_inputs(prompt: &mut Prompt, file: &Path, registry: &Registry) -> Outcome<()> {
    let wrong = |why: String| Stop::wrong(format!("--inputs {}: {why}", file.display()));
    let bytes = files::read(file, MAX_BYTES).map_err(|error| wrong(error.to_string()))?;
    let (values, _) = workflow::parse_json(&bytes).map_err(|error| wrong(error.to_string()))?;
    let Json::Object(values) = values else {
        return Err(wrong("is no object; write {\"NODE.INPUT\": VALUE}".to_owned()));
    };
    for (address, value) in values {
        let found = Addresses::new(prompt, registry).find(&address);
        let (id, input) = found.map_err(|e| wrong(format!("'{address}': {e}")))?;
        let id = id.clone();
        set(prompt, &id, input, value);
    }
    Ok(())
}

fn apply_set(prompt: &mut Prompt, set_text: &str, registry: &Registry) -> Result<(), String> {
    let (address, text) = set_text.split_once('=').ok_or("has no value; write NODE.INPUT=VALUE")?;
    let (id, input) = Addresses::new(prompt, registry).find(address)?;
    let id = id.clone();
    let class = registry.class(&prompt.nodes[&id].class_type);
    let declared = class.and_then(|class| settable::input_of(&class.schema, &input));
    let is_text = matches!(declared.map(|input| &input.kind), Some(Kind::Text { .. } | Kind::Combo { .. }));
    let value = match serde_json::from_str(text) {
        Ok(value) if !is_text => value,
        _ => Json::String(text.to_owned()),
    };
    set(prompt, &id, input, value);
    Ok(())
}

fn set(prompt: &mut Prompt, id: &NodeId, input: String, value: Json) {
    if let Some(node) = prompt.nodes.get_mut(id) {
        node.inputs.insert(input, Given::Constant(value));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use redraft_engine::prompt::PromptNode;
    use serde_json::json;

    use super::*;

    fn prompt() -> Prompt {
        let node = |class: &str, title: &str| PromptNode {
            class_type: class.to_owned(),
            inputs: [("seed".to_owned(), Given::Constant(json!(1)))].into_iter().collect(),
            title: Some(title.to_owned()),
        };
        Prompt {
            nodes: [("3".into(), node("KSampler", "v1.5 sampler")), ("7:2".into(), node("X", "X"))]
                .into_iter()
                .collect(),
        }
    }

    fn given(prompt: &Prompt, id: &str, input: &str) -> Json {
        prompt.nodes[id].inputs[input].to_json()
    }

    #[test]
    fn set_finds_nodes_by_id_and_by_titles_with_dots() {
        let registry = Registry::linked().unwrap();
        let mut prompt = prompt();
        apply_set(&mut prompt, "v1.5 sampler.seed=18446744073709551615", &registry).unwrap();
        apply_set(&mut prompt, "7:2.seed={\"a\": 1}", &registry).unwrap();
        apply_set(&mut prompt, "3.sampler_name=5", &registry).unwrap();
        assert_eq!(given(&prompt, "3", "seed"), json!(u64::MAX));
        assert_eq!(given(&prompt, "7:2", "seed"), json!({"a": 1}));
        // A combo's choice is a text, whatever it looks like.
        assert_eq!(given(&prompt, "3", "sampler_name"), json!("5"));
        let error = apply_set(&mut prompt, "7:2.steps=3", &registry).unwrap_err();
        assert_eq!(error, "node 7:2 (X) has no input 'steps'; it has seed");
    }

    #[test]
    fn a_file_of_inputs_sets_them_all() {
        let registry = Registry::linked().unwrap();
        let mut prompt = prompt();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), r#"{"3.seed": 18446744073709551615, "X.seed": [1, 2]}"#).unwrap();
        apply_inputs(&mut prompt, file.path(), &registry).unwrap();
        assert_eq!(given(&prompt, "3", "seed"), json!(u64::MAX));
        assert_eq!(prompt.nodes["7:2"].inputs["seed"], Given::Constant(json!([1, 2])));
        fs_err::write(file.path(), r#"{"9.seed": 1}"#).unwrap();
        let stop = apply_inputs(&mut prompt, file.path(), &registry).unwrap_err();
        assert!(
            stop.message.ends_with("'9.seed': no node has the id or title '9'; `redraft inputs` shows all addresses")
        );
    }

    #[test]
    fn of_a_model_only_the_header_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), [&b"\x02\0\0\0\0\0\0\0{}"[..], &[7; 1000]].concat()).unwrap();
        assert_eq!(read_bytes(file.path()).unwrap().len(), 16);
        fs_err::write(file.path(), [b'{'; 1000]).unwrap();
        assert_eq!(read_bytes(file.path()).unwrap().len(), 1000);
        fs_err::write(file.path(), b"{}").unwrap();
        assert_eq!(read_bytes(file.path()).unwrap(), b"{}");
    }
}
