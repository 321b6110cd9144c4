//! Declarations read from ComfyUI's `/object_info`: what lets a file with foreign classes be converted.

mod write;

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::schema::{
    Autogrow, Beyond, Choice, Control, GrowNames, Hidden, Input, Kind, Options, Output, Schema, Schemas, Upload,
};

/// The widget types of the editor that have no rules of their own.
const PLAIN_WIDGETS: [&str; 13] = [
    "MARKDOWN",
    "TEXTAREA",
    "COLOR",
    "CHART",
    "GALLERIA",
    "IMAGECOMPARE",
    "IMAGEUPLOAD",
    "AUDIO_UI",
    "AUDIOUPLOAD",
    "AUDIO_RECORD",
    "WEBCAM",
    "LOAD_3D",
    "PREVIEW_3D",
];

/// How deep choices may bring inputs that are themselves choices.
const MAX_DEPTH: usize = 16;

/// Declarations by class, from the whole of `/object_info`.
#[derive(Clone, Debug, Default)]
pub struct ObjectInfo {
    classes: HashMap<String, Schema>,
}

impl ObjectInfo {
    /// Reads the answer of `GET /object_info`. Entries that are not objects are passed over.
    pub fn from_json(info: &Value) -> Self {
        let entries = info.as_object().into_iter().flatten().filter(|(_, entry)| entry.is_object());
        let classes = entries.map(|(class, entry)| (class.clone(), Schema::from_object_info(class, entry)));
        Self { classes: classes.collect() }
    }

    pub fn len(&self) -> usize {
        self.classes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }
}

impl Schemas for ObjectInfo {
    fn schema(&self, class: &str) -> Option<&Schema> {
        self.classes.get(class)
    }
}

impl Schema {
    /// Reads one class's entry of `/object_info`. What the entry lacks stays empty; nothing in it is an error.
    pub fn from_object_info(class: &str, entry: &Value) -> Self {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let flag = |name: &str| entry[name].as_bool().unwrap_or(false);
        let display_name = text("display_name");
        Self {
            class: class.to_owned(),
            display_name: if display_name.is_empty() { class.to_owned() } else { display_name },
            category: text("category"),
            description: text("description"),
            inputs: inputs(&entry["input"], &entry["input_order"], 0),
            hidden: hidden(&entry["input"]["hidden"]),
            outputs: outputs(entry),
            output_node: flag("output_node"),
            deprecated: flag("deprecated"),
            experimental: flag("experimental"),
        }
    }
}

/// The inputs of `{"required": {...}, "optional": {...}}` in the order that `input_order` gives, then the rest.
fn inputs(groups: &Value, order: &Value, depth: usize) -> Vec<Input> {
    let group = |name: &str| groups[name].as_object();
    let mut names = Vec::new();
    for name in ["required", "optional"] {
        let listed = order[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.extend(listed.filter(|n| group(name).is_some_and(|g| g.contains_key(*n))).map(|n| (n, name)));
    }
    let mut seen: std::collections::HashSet<_> = names.iter().copied().collect();
    for name in ["required", "optional"] {
        let rest = group(name).into_iter().flat_map(Map::keys).map(|n| (n.as_str(), name));
        names.extend(rest.filter(|entry| seen.insert(*entry)));
    }
    names.into_iter().map(|(name, group)| input(name, &groups[group][name], group == "optional", depth)).collect()
}

fn input(name: &str, spec: &Value, optional: bool, depth: usize) -> Input {
    let options = &spec[1];
    Input {
        name: name.to_owned(),
        kind: kind(&spec[0], options, depth),
        optional,
        lazy: options["lazy"].as_bool().unwrap_or(false),
        force_input: options["forceInput"].as_bool().unwrap_or(false),
        raw_link: options["rawLink"].as_bool().unwrap_or(false),
        beyond: Beyond::Nowhere,
        tooltip: options["tooltip"].as_str().unwrap_or_default().to_owned(),
    }
}

fn kind(ty: &Value, options: &Value, depth: usize) -> Kind {
    if let Value::Array(choices) = ty {
        return combo(choices, options);
    }
    let declared = ty.as_str().unwrap_or("*");
    let flag = |name: &str| options[name].as_bool().unwrap_or(false);
    let default = &options["default"];
    match options["widgetType"].as_str().unwrap_or(declared) {
        "INT" => Kind::Int {
            default: whole(default).unwrap_or(0),
            min: whole(&options["min"]),
            max: whole(&options["max"]),
            step: whole(&options["step"]),
            control: control(options),
        },
        "FLOAT" => Kind::Float {
            default: default.as_f64().unwrap_or(0.0),
            min: options["min"].as_f64(),
            max: options["max"].as_f64(),
            step: options["step"].as_f64(),
            round: options["round"].as_f64(),
            control: control(options),
        },
        "BOOLEAN" => Kind::Boolean { default: default.as_bool().unwrap_or(false) },
        "STRING" => Kind::Text {
            default: default.as_str().unwrap_or_default().to_owned(),
            multiline: flag("multiline"),
            dynamic_prompts: flag("dynamicPrompts"),
        },
        "COMBO" => combo(options["options"].as_array().map_or(&[][..], |all| all), options),
        "COMFY_DYNAMICCOMBO_V3" if depth < MAX_DEPTH => Kind::DynamicCombo(choices(&options["options"], depth + 1)),
        "COMFY_AUTOGROW_V3" if depth < MAX_DEPTH => autogrow(&options["template"], depth + 1),
        "COMFY_MATCHTYPE_V3" => Kind::Socket(options["template"]["allowed_types"].as_str().unwrap_or("*").to_owned()),
        // Only widgets say whether they have a socket, too.
        plain if PLAIN_WIDGETS.contains(&plain) || options["socketless"].is_boolean() => {
            Kind::Widget { ty: plain.to_owned(), default: (!default.is_null()).then(|| default.clone()) }
        }
        _ => Kind::Socket(declared.to_owned()),
    }
}

fn combo(choices: &[Value], options: &Value) -> Kind {
    let upload = [Upload::Image, Upload::AnimatedImage, Upload::Video, Upload::Audio]
        .into_iter()
        .find(|upload| options[upload.option()].as_bool() == Some(true));
    let words: Option<Vec<_>> = choices.iter().map(|choice| choice.as_str().map(str::to_owned)).collect();
    let default = match &options["default"] {
        Value::Null => None,
        Value::String(default) => Some(default.clone()),
        other => Some(other.to_string()),
    };
    Kind::Combo {
        options: words.map_or_else(|| Options::Values(choices.to_vec()), Options::Fixed),
        default,
        upload,
        control: control(options),
    }
}

fn choices(options: &Value, depth: usize) -> Vec<Choice> {
    let all = options.as_array().into_iter().flatten();
    let keyed = all.filter_map(|choice| Some((choice["key"].as_str()?, &choice["inputs"])));
    keyed.map(|(key, specs)| Choice { key: key.to_owned(), inputs: inputs(specs, &Value::Null, depth) }).collect()
}

fn autogrow(template: &Value, depth: usize) -> Kind {
    let mut parts = inputs(&template["input"], &Value::Null, depth);
    if parts.is_empty() {
        return Kind::Socket("*".to_owned());
    }
    let listed = template["names"].as_array().map(|names| names.iter().filter_map(Value::as_str));
    let count = |name: &str| template[name].as_u64().and_then(|n| usize::try_from(n).ok());
    let names = match listed {
        Some(names) => GrowNames::Listed(names.map(str::to_owned).collect()),
        None => GrowNames::Prefix(template["prefix"].as_str().unwrap_or_default().to_owned()),
    };
    let max = match &names {
        GrowNames::Listed(names) => names.len(),
        // No class has more than a hundred sockets. The limit keeps an untrusted table from making us create millions
        // of names.
        GrowNames::Prefix(_) => count("max").unwrap_or(100).min(10_000),
    };
    Kind::Autogrow(Autogrow {
        template: Box::new(parts.swap_remove(0)),
        names,
        min: count("min").unwrap_or(0).min(max),
        max,
    })
}

fn control(options: &Value) -> Control {
    match &options["control_after_generate"] {
        Value::Null => Control::Unset,
        Value::Bool(true) | Value::String(_) => Control::On,
        _ => Control::Off,
    }
}

/// A whole number, also one that is written `1.0`.
fn whole(value: &Value) -> Option<i128> {
    let exact = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    exact.or_else(|| value.as_f64().filter(|v| v.is_finite()).map(|v| v as i128))
}

fn hidden(entries: &Value) -> Vec<(String, Hidden)> {
    let known = [Hidden::Prompt, Hidden::ExtraPngInfo, Hidden::UniqueId, Hidden::DynPrompt];
    let all = entries.as_object().into_iter().flatten();
    let named = all.filter_map(|(name, ty)| {
        // Some classes write `["PROMPT"]`.
        let ty = ty.as_str().or_else(|| ty[0].as_str())?;
        Some((name.clone(), known.into_iter().find(|hidden| hidden.type_name() == ty)?))
    });
    named.collect()
}

fn outputs(entry: &Value) -> Vec<Output> {
    let types = entry["output"].as_array().into_iter().flatten().enumerate();
    let each = types.map(|(i, ty)| {
        let ty = ty.as_str().unwrap_or("COMBO").to_owned();
        Output {
            name: entry["output_name"][i].as_str().unwrap_or(&ty).to_owned(),
            is_list: entry["output_is_list"][i].as_bool().unwrap_or(false),
            tooltip: entry["output_tooltips"][i].as_str().unwrap_or_default().to_owned(),
            ty,
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_with_a_dynamic_combo_is_read() {
        let entry = json!({
            "input": {"optional": {"on": ["BOOLEAN", {"default": true}]}, "required": {
                "b": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "k", "inputs": {"required": {"w": ["INT", {"default": 3}]}}}]}],
                "a": [["x", "y"], {"default": "y"}],
                "s": ["COMBO", {"options": [4, 8], "default": 8}],
            }},
            "input_order": {"required": ["a", "b"]},
            "output": ["IMAGE"], "output_name": ["out"], "display_name": "Shown",
        });
        let schema = Schema::from_object_info("C", &entry);
        let names: Vec<_> = schema.inputs.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "s", "on"]);
        assert_eq!(schema.inputs[0].kind.default(&()), Some(json!("y")));
        assert_eq!(schema.inputs[1].kind.default(&()), Some(json!("k")));
        assert_eq!(schema.inputs[2].kind.default(&()), Some(json!(8)));
        assert_eq!(schema.outputs[0].name, "out");
        assert_eq!(schema.display_name, "Shown");
        let Kind::DynamicCombo(choices) = &schema.inputs[1].kind else { panic!("{:?}", schema.inputs[1]) };
        assert_eq!(choices[0].inputs[0].kind.default(&()), Some(json!(3)));
    }

    #[test]
    fn what_may_have_a_socket_too_is_a_widget() {
        let entry = json!({"input": {"required": {
            "curve": ["CURVE", {"default": {"points": []}, "socketless": true}],
            "boxes": ["BOXES", {"default": [], "socketless": true, "forceInput": true}],
            "shown": ["IMAGECOMPARE", {"socketless": true}],
            "curves": ["CURVE", {}],
        }}, "output": []});
        let schema = Schema::from_object_info("C", &entry);
        let widgets: Vec<_> = schema.inputs.iter().map(Input::is_widget).collect();
        assert_eq!(widgets, [true, false, true, false]);
        assert_eq!(schema.inputs[0].kind.default(&()), Some(json!({"points": []})));
        assert_eq!(schema.inputs[1].kind.type_name(), "BOXES");
        assert_eq!(schema.inputs[2].kind.default(&()), Some(json!(["", ""])));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let entry = json!({"input": {"required": {
            "seed": ["INT", {"default": 0, "min": 0, "max": u64::MAX, "control_after_generate": true}],
            "images": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 2, "max": 50}}],
        }}, "output": []});
        let schema = Schema::from_object_info("C", &entry);
        let again = Schema::from_object_info("C", &schema.to_object_info(&()));
        assert_eq!(schema, again);
        assert!(matches!(schema.inputs[0].kind, Kind::Int { max: Some(max), .. } if max == i128::from(u64::MAX)));
    }
}
