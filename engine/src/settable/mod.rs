//! The inputs of a workflow that can be set from outside: their addresses, and a JSON Schema of them.
//!
//! An address is `NODE.INPUT`, where NODE is an id, or a title that only one node has.

mod addresses;

use std::collections::HashSet;

use serde_json::{Map, Value, json};

pub use self::addresses::Addresses;
use crate::prompt::{Given, NodeId, Prompt, PromptNode};
use crate::schema::{Folders, Input, Kind, Options, Schema, Schemas, integer};

/// The longest title that is offered as an address, in bytes.
const LONGEST_TITLE: usize = 256;

/// One input that takes a constant.
struct Settable<'a> {
    id: &'a NodeId,
    node: &'a PromptNode,
    /// `seed`, or `mode.width` where the choice of `mode` brought it.
    name: String,
    /// Absent where the class, or the input, is not declared.
    declared: Option<&'a Input>,
    value: Value,
}

/// The settable inputs as a JSON Schema (draft 2020-12) of an object of values by address.
///
/// Each property's `default` is the value in the workflow now. Inputs that are linked are left out. `x-node`,
/// `x-class`, `x-input` say which input it is, and `x-title-address` is its other address where there is one. Integers
/// are exact. `multipleOf` stands only where all that the editor can reach are multiples; `x-step` is the editor's step.
pub fn schema(prompt: &Prompt, schemas: &dyn Schemas, folders: &dyn Folders) -> Value {
    let addresses = Addresses::new(prompt, schemas);
    let mut properties = Map::new();
    for settable in settables(prompt, schemas, folders) {
        let address = format!("{}.{}", settable.id, settable.name);
        properties.insert(address, settable.property(&addresses, folders));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// Puts inputs first in a [`schema`], in this order, and marks them with `x-app`: those that the workflow's author chose for the
/// editor's app view. What the schema lacks is passed over.
pub fn put_first<'i>(schema: &mut Value, inputs: impl IntoIterator<Item = (&'i NodeId, &'i str)>) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let mut first = Map::new();
    for (node, input) in inputs {
        let address = format!("{node}.{input}");
        if let Some(Value::Object(property)) = properties.get_mut(&address).map(Value::take) {
            first.insert(address, Value::Object(property));
        }
    }
    first.values_mut().for_each(|property| property["x-app"] = json!(true));
    let others = std::mem::take(properties).into_iter().filter(|(_, property)| !property.is_null());
    first.extend(others);
    *properties = first;
}

/// The declaration of an input, also of one that a choice brings, such as `mode.width`.
pub fn input_of<'s>(schema: &'s Schema, name: &str) -> Option<&'s Input> {
    among(&schema.inputs, name)
}

fn among<'s>(inputs: &'s [Input], name: &str) -> Option<&'s Input> {
    inputs.iter().find_map(|input| match (name.strip_prefix(input.name.as_str())?, &input.kind) {
        ("", _) => Some(input),
        (rest, Kind::DynamicCombo(choices)) => {
            let rest = rest.strip_prefix('.')?;
            choices.iter().find_map(|choice| among(&choice.inputs, rest))
        }
        _ => None,
    })
}

fn settables<'a>(prompt: &'a Prompt, schemas: &'a dyn Schemas, folders: &dyn Folders) -> Vec<Settable<'a>> {
    let mut all = Vec::new();
    for (id, node) in &prompt.nodes {
        let from = all.len();
        if let Some(schema) = schemas.schema(&node.class_type) {
            declared(id, node, &schema.inputs, "", folders, &mut all);
        }
        // An undeclared input can be set if it is a constant now.
        let known: HashSet<String> = all[from..].iter().map(|settable| settable.name.clone()).collect();
        for (name, given) in &node.inputs {
            if let (Given::Constant(value), false) = (given, known.contains(name)) {
                all.push(Settable { id, node, name: name.clone(), declared: None, value: value.clone() });
            }
        }
    }
    all
}

fn declared<'a>(
    id: &'a NodeId,
    node: &'a PromptNode,
    inputs: &'a [Input],
    prefix: &str,
    folders: &dyn Folders,
    all: &mut Vec<Settable<'a>>,
) {
    for input in inputs {
        let name = format!("{prefix}{}", input.name);
        let value = match node.inputs.get(&name) {
            Some(Given::Link { .. }) => continue,
            Some(Given::Constant(value) | Given::Malformed(value)) => value.clone(),
            None if input.is_widget() => input.kind.default(folders).unwrap_or_default(),
            None => continue,
        };
        let chosen = match &input.kind {
            Kind::DynamicCombo(choices) => choices.iter().find(|choice| value.as_str() == Some(&choice.key)),
            _ => None,
        };
        all.push(Settable { id, node, name: name.clone(), declared: Some(input), value });
        if let Some(choice) = chosen {
            declared(id, node, &choice.inputs, &format!("{name}."), folders, all);
        }
    }
}

impl Settable<'_> {
    fn property(self, addresses: &Addresses<'_>, folders: &dyn Folders) -> Value {
        let mut property = match self.declared {
            Some(input) => of_kind(&input.kind, &self.value, folders),
            None => type_of(&self.value).map(|ty| ("type".to_owned(), json!(ty))).into_iter().collect(),
        };
        let title = self.node.title.as_deref();
        let shown = title.unwrap_or(&self.node.class_type);
        property.insert("title".into(), json!(format!("{shown}.{}", self.name)));
        if let Some(input) = self.declared.filter(|input| !input.tooltip.is_empty()) {
            property.insert("description".into(), json!(input.tooltip));
        }
        property.insert("x-node".into(), json!(self.id));
        property.insert("x-class".into(), json!(self.node.class_type));
        property.insert("x-input".into(), json!(self.name));
        if let Some(title) = title.filter(|title| title.len() <= LONGEST_TITLE) {
            let address = format!("{title}.{}", self.name);
            if addresses.find(&address).is_ok_and(|(id, input)| *id == *self.id && input == self.name) {
                property.insert("x-title-address".into(), json!(address));
            }
        }
        property.insert("default".into(), self.value);
        Value::Object(property)
    }
}

/// The JSON Schema type of an undeclared input, from its present value.
fn type_of(value: &Value) -> Option<&'static str> {
    Some(match value {
        Value::Bool(_) => "boolean",
        // The present value may be an integer by chance: `number` allows both.
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => return None,
    })
}

/// The JSON Schema of a declared input.
fn of_kind(kind: &Kind, value: &Value, folders: &dyn Folders) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.into(), value);
        }
    };
    match kind {
        Kind::Int { min, max, step, .. } => {
            put("type", Some(json!("integer")));
            put("minimum", min.map(integer));
            put("maximum", max.map(integer));
            let multiple = step.filter(|step| *step > 1 && min.is_none_or(|min| min % step == 0));
            let now = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
            put("multipleOf", multiple.filter(|step| now.is_none_or(|now| now % step == 0)).map(integer));
            put("x-step", step.map(integer));
        }
        Kind::Float { min, max, step, .. } => {
            put("type", Some(json!("number")));
            put("minimum", min.map(|v| json!(v)));
            put("maximum", max.map(|v| json!(v)));
            put("x-step", step.map(|v| json!(v)));
        }
        Kind::Boolean { .. } => put("type", Some(json!("boolean"))),
        Kind::Text { multiline, dynamic_prompts, .. } => {
            put("type", Some(json!("string")));
            put("x-multiline", multiline.then_some(json!(true)));
            put("x-dynamic-prompts", dynamic_prompts.then_some(json!(true)));
        }
        Kind::Combo { options, .. } => {
            let choices = match options {
                Options::Values(values) => values.clone(),
                _ => kind.choices(folders).into_iter().map(Value::String).collect(),
            };
            put("type", choices.iter().all(Value::is_string).then_some(json!("string")));
            put("enum", (!choices.is_empty()).then_some(Value::Array(choices)));
            if let Options::Files { folder, .. } = options {
                put("x-folder", Some(json!(folder)));
            }
        }
        Kind::DynamicCombo(choices) => {
            put("type", Some(json!("string")));
            put("enum", Some(choices.iter().map(|choice| json!(choice.key)).collect()));
        }
        Kind::Widget { ty, .. } => put("x-widget", Some(json!(ty))),
        Kind::Socket(ty) => put("x-socket", Some(json!(ty))),
        Kind::Autogrow(_) => {}
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::object_info::ObjectInfo;
    use crate::workflow::{Context, LocalTime, read_value};

    fn schemas() -> ObjectInfo {
        ObjectInfo::from_json(&json!({
            "Sample": {"display_name": "Sample", "output": ["LATENT"], "input": {"required": {
                "model": ["MODEL"],
                "seed": ["INT", {"default": 0, "min": 0, "max": u64::MAX, "tooltip": "The noise's."}],
                "width": ["INT", {"default": 512, "min": 16, "max": 16384, "step": 8}],
                "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1}],
                "name": [["a", "b"], {}],
                "mode": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "k", "inputs": {"required": {"n": ["INT", {}]}}}]}],
            }, "optional": {"text": ["STRING", {"multiline": true, "default": "x"}]}}},
        }))
    }

    fn prompt(nodes: &Value) -> Prompt {
        let schemas = schemas();
        let context = Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() };
        read_value(nodes, &context).unwrap().prompt
    }

    fn nodes() -> Value {
        json!({
            "3": {"class_type": "Sample", "_meta": {"title": "A.B"}, "inputs": {
                "model": ["4", 0], "seed": u64::MAX, "width": 500, "cfg": ["5", 0], "name": "b", "mode": "k", "mode.n": 4}},
            "4": {"class_type": "Foreign", "_meta": {"title": "Twice"}, "inputs": {"file": "f", "list": {"__value__": [1]}, "nil": null}},
            "5": {"class_type": "Foreign", "_meta": {"title": "Twice"}, "inputs": {"on": true, "n": 3}},
            "A": {"class_type": "Foreign", "_meta": {"title": "5"}, "inputs": {"B.seed": 1}},
        })
    }

    #[test]
    fn properties_say_what_is_allowed_and_what_is_set() {
        let schema = schema(&prompt(&nodes()), &schemas(), &());
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(
            properties["3.seed"],
            json!({"type": "integer", "minimum": 0, "maximum": u64::MAX, "title": "A.B.seed",
                "description": "The noise's.", "x-node": "3", "x-class": "Sample", "x-input": "seed",
                "default": u64::MAX})
        );
        let addresses: Vec<_> = properties.keys().map(String::as_str).collect();
        let all = [
            "3.seed", "3.width", "3.name", "3.mode", "3.mode.n", "3.text", "4.file", "4.list", "4.nil", "5.on", "5.n",
            "A.B.seed",
        ];
        assert_eq!(addresses, all);
        // 500 is allowed, and no multiple of 8.
        assert_eq!(properties["3.width"]["multipleOf"], Value::Null);
        assert_eq!(properties["3.width"]["x-step"], 8);
        assert_eq!(properties["3.name"]["enum"], json!(["a", "b"]));
        assert_eq!(properties["3.mode.n"]["default"], 4);
        assert_eq!(properties["3.text"]["default"], "x");
        assert_eq!(
            properties["4.list"],
            json!({"type": "array", "title": "Twice.list", "x-node": "4",
            "x-class": "Foreign", "x-input": "list", "default": [1]})
        );
        // Node A has such an input, and ids come first.
        assert_eq!(properties["3.seed"].get("x-title-address"), None);
        assert_eq!(properties["3.width"]["x-title-address"], "A.B.width");
        assert!(schema.to_string().contains("18446744073709551615"));
    }

    #[test]
    fn width_within_the_editor_s_grid_is_a_multiple() {
        let mut nodes = nodes();
        nodes["3"]["inputs"]["width"] = json!(512);
        let schema = schema(&prompt(&nodes), &schemas(), &());
        assert_eq!(schema["properties"]["3.width"]["multipleOf"], 8);
    }

    #[test]
    fn every_address_leads_to_its_input() {
        let prompt = prompt(&nodes());
        let schemas = schemas();
        let schema = schema(&prompt, &schemas, &());
        let addresses = Addresses::new(&prompt, &schemas);
        for (address, property) in schema["properties"].as_object().unwrap() {
            let both = [Some(address.as_str()), property["x-title-address"].as_str()];
            for address in both.into_iter().flatten() {
                let (id, input) = addresses.find(address).unwrap();
                assert_eq!(
                    (json!(id), json!(input)),
                    (property["x-node"].clone(), property["x-input"].clone()),
                    "{address}"
                );
            }
        }
        assert_eq!(schema["properties"].as_object().unwrap().len(), 12);
    }

    #[test]
    fn chosen_inputs_come_first_and_are_marked() {
        let mut schema = schema(&prompt(&nodes()), &schemas(), &());
        let before = schema["properties"].as_object().unwrap().len();
        let chosen =
            [("5", "n"), ("9", "gone"), ("3", "cfg"), ("3", "name")].map(|(id, input)| (NodeId::from(id), input));
        put_first(&mut schema, chosen.iter().map(|(id, input)| (id, *input)));
        let properties = schema["properties"].as_object().unwrap();
        let first: Vec<_> = properties.keys().take(4).map(String::as_str).collect();
        assert_eq!(first, ["5.n", "3.name", "3.seed", "3.width"]);
        assert_eq!(properties.len(), before);
        let marked: Vec<_> =
            properties.iter().filter(|(_, property)| property["x-app"] == true).map(|(at, _)| at).collect();
        assert_eq!(marked, ["5.n", "3.name"]);
    }

    #[test]
    fn a_wrong_address_says_why() {
        let prompt = prompt(&nodes());
        let error = |address: &str| Addresses::new(&prompt, &schemas()).find(address).unwrap_err();
        assert_eq!(error("9.seed"), "no node has the id or title '9'; `redraft inputs` shows all addresses");
        assert_eq!(error("Twice.n"), "the nodes 4, 5 have the title 'Twice'; name one by its id");
        assert_eq!(error("5.x"), "node 5 (Foreign) has no input 'x'; it has on, n");
        assert_eq!(error("seed"), "has no input; write NODE.INPUT");
    }
}
