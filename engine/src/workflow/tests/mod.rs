#![allow(clippy::unwrap_used)]
//! Each rule of the conversion on a graph as small as it can be.

mod app;
mod bodies;
mod branches;
mod control;
mod files;
mod mutations;
mod plain;
mod set;
mod subgraphs;
mod values;
mod versions;

use serde_json::{Value, json};

use super::*;
use crate::object_info::ObjectInfo;

fn schemas() -> ObjectInfo {
    ObjectInfo::from_json(&json!({
        "Load": {"input": {}, "output": ["IMAGE", "MASK"], "display_name": "Load It"},
        "Clip": {"input": {}, "output": ["CLIP"]},
        "Empty": {"input": {"required": {
            "width": ["INT", {"default": 512}], "height": ["INT", {"default": 256}], "color": ["INT", {}],
        }}, "output": ["IMAGE"]},
        "Filter": {"input": {"required": {"image": ["IMAGE"], "strength": ["FLOAT", {"default": 1.0}]}}, "output": ["IMAGE"]},
        "Blend": {"input": {"required": {"a": ["IMAGE"], "b": ["IMAGE"]}}, "output": ["IMAGE"]},
        "Both": {"input": {"required": {"image": ["IMAGE"], "clip": ["CLIP"]}}, "output": ["IMAGE", "CLIP"]},
        "Decode": {"input": {"required": {"latent": ["LATENT"]}}, "output": ["IMAGE"]},
        "Sample": {"input": {"required": {"seed": ["INT", {}], "steps": ["INT", {"default": 20}]}}, "output": ["LATENT"]},
        "Text": {"input": {"required": {"text": ["STRING", {"dynamicPrompts": true}]}}, "output": ["STRING"]},
        "Old": {"input": {"required": {"a": ["INT", {}], "in": ["STRING", {"forceInput": true}], "b": ["INT", {}]}}, "output": []},
        "Pick": {"input": {"required": {"file": [[], {}], "kind": [["x", "y"], {}]}}, "output": []},
        "LoadImage": {"input": {"required": {"image": [["a.png"], {"image_upload": true}]}}, "output": ["IMAGE"]},
        "SaveImage": {"input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "C"}]}},
            "output": [], "output_node": true},
    }))
}

fn try_convert(file: &Value) -> Result<Workflow, ReadError> {
    let schemas = schemas();
    let now = LocalTime { year: 2026, month: 11, day: 23, hour: 5, minute: 6, second: 7 };
    read(&serde_json::to_vec(file).unwrap(), &Context { schemas: &schemas, folders: &(), seed: 0, now })
}

fn convert(file: &Value) -> Workflow {
    try_convert(file).unwrap()
}

/// The inputs of each node of the prompt, by id.
fn inputs(file: &Value) -> Value {
    let prompt = convert(file).prompt.to_json();
    prompt.as_object().unwrap().iter().map(|(id, node)| (id.clone(), node["inputs"].clone())).collect()
}

fn remarks(file: &Value) -> Vec<String> {
    convert(file).remarks.iter().map(ToString::to_string).collect()
}

fn node(id: i64, class: &str, inputs: Value, values: Value) -> Value {
    let inputs: Vec<_> = inputs
        .as_array()
        .unwrap()
        .iter()
        .map(|i| json!({"name": i[0], "type": i[1], "link": i[2], "widget": i.get(3).map(|w| json!({"name": w}))}))
        .collect();
    json!({"id": id, "type": class, "mode": 0, "inputs": inputs, "widgets_values": values})
}

fn with(mut node: Value, changes: Value) -> Value {
    node.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    node
}

fn file(nodes: Vec<Value>, links: Value) -> Value {
    json!({"version": 0.4, "nodes": nodes, "links": links})
}
