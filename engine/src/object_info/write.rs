//! Declarations as ComfyUI's `/object_info` and its error reports write them.

use serde_json::{Map, Value, json};

use crate::schema::{Autogrow, Control, Folders, GrowNames, Input, Kind, Options, Output, Schema, integer};

impl Schema {
    /// This class's entry in ComfyUI's `/object_info`.
    pub fn to_object_info(&self, folders: &dyn Folders) -> Value {
        let (mut input, mut order) = groups(&self.inputs, folders);
        if !self.hidden.is_empty() {
            let names: Vec<_> = self.hidden.iter().map(|(name, _)| name).collect();
            order.insert("hidden".into(), json!(names));
            let entries = self.hidden.iter().map(|(name, hidden)| (name.clone(), json!(hidden.type_name())));
            input.insert("hidden".into(), Value::Object(entries.collect()));
        }
        let each = |f: &dyn Fn(&Output) -> Value| self.outputs.iter().map(f).collect::<Vec<_>>();
        let mut info = Map::new();
        info.insert("input".into(), Value::Object(input));
        info.insert("input_order".into(), Value::Object(order));
        info.insert("output".into(), json!(each(&|o| json!(o.ty))));
        info.insert("output_is_list".into(), json!(each(&|o| json!(o.is_list))));
        info.insert("output_name".into(), json!(each(&|o| json!(o.name))));
        info.insert("name".into(), json!(self.class));
        info.insert("display_name".into(), json!(self.display_name));
        info.insert("description".into(), json!(self.description));
        info.insert("python_module".into(), json!("nodes"));
        info.insert("category".into(), json!(self.category));
        info.insert("output_node".into(), json!(self.output_node));
        if self.outputs.iter().any(|o| !o.tooltip.is_empty()) {
            info.insert("output_tooltips".into(), json!(each(&|o| json!(o.tooltip))));
        }
        for (name, on) in [("deprecated", self.deprecated), ("experimental", self.experimental)] {
            if on {
                info.insert(name.into(), json!(true));
            }
        }
        Value::Object(info)
    }
}

impl Kind {
    /// `[type, options]`, as `/object_info` and error reports write it.
    pub fn to_json(&self, folders: &dyn Folders) -> Value {
        let mut o = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                o.insert(name.into(), value);
            }
        };
        let on = |flag: bool| flag.then_some(json!(true));
        match self {
            Self::Int { default, min, max, step, control } => {
                put("default", Some(integer(*default)));
                put("min", min.map(integer));
                put("max", max.map(integer));
                put("step", step.map(integer));
                put("control_after_generate", control.to_json());
            }
            Self::Float { default, min, max, step, round, control } => {
                put("default", Some(json!(default)));
                put("min", min.map(|v| json!(v)));
                put("max", max.map(|v| json!(v)));
                put("step", step.map(|v| json!(v)));
                put("round", round.map(|v| json!(v)));
                put("control_after_generate", control.to_json());
            }
            Self::Boolean { default } => put("default", Some(json!(default))),
            Self::Text { default, multiline, dynamic_prompts } => {
                put("default", (!default.is_empty() || !multiline).then(|| json!(default)));
                put("multiline", on(*multiline));
                put("dynamicPrompts", on(*dynamic_prompts));
            }
            Self::Combo { default, upload, control, .. } => {
                put("default", default.as_ref().map(|v| json!(v)));
                put("control_after_generate", control.to_json());
                if let Some(upload) = upload {
                    put(upload.option(), Some(json!(true)));
                }
            }
            Self::Socket(_) => {}
            Self::Widget { default, .. } => put("default", default.clone()),
            Self::DynamicCombo(choices) => {
                let each = choices.iter().map(|c| json!({ "key": c.key, "inputs": groups(&c.inputs, folders).0 }));
                put("options", Some(each.collect()));
            }
            Self::Autogrow(grow) => put("template", Some(grow.to_json(folders))),
        }
        match self {
            Self::Combo { options: Options::Values(values), .. } => json!([values, o]),
            Self::Combo { .. } => json!([self.choices(folders), o]),
            _ => json!([self.type_name(), o]),
        }
    }
}

impl Control {
    fn to_json(self) -> Option<Value> {
        match self {
            Self::Unset => None,
            Self::On => Some(json!(true)),
            Self::Off => Some(json!(false)),
        }
    }
}

impl Input {
    /// `[type, options]`, with what the input adds to its kind's options.
    pub fn to_json(&self, folders: &dyn Folders) -> Value {
        let mut entry = self.kind.to_json(folders);
        if let Some(Value::Object(options)) = entry.get_mut(1) {
            let flags = [("forceInput", self.force_input), ("lazy", self.lazy), ("rawLink", self.raw_link)];
            options.extend(flags.into_iter().filter(|(_, on)| *on).map(|(name, on)| (name.to_owned(), json!(on))));
            if !self.tooltip.is_empty() {
                options.insert("tooltip".into(), json!(self.tooltip));
            }
        }
        entry
    }
}

impl Autogrow {
    fn to_json(&self, folders: &dyn Folders) -> Value {
        let mut template = Map::new();
        template.insert("input".into(), Value::Object(groups(std::slice::from_ref(&*self.template), folders).0));
        match &self.names {
            GrowNames::Listed(names) => template.insert("names".into(), json!(names)),
            GrowNames::Prefix(prefix) => template.insert("prefix".into(), json!(prefix)),
        };
        template.insert("min".into(), json!(self.min));
        if let GrowNames::Prefix(_) = self.names {
            template.insert("max".into(), json!(self.max));
        }
        Value::Object(template)
    }
}

/// Inputs by `required` and `optional`, and the order of their names in each.
fn groups(inputs: &[Input], folders: &dyn Folders) -> (Map<String, Value>, Map<String, Value>) {
    let mut input = Map::new();
    let mut order = Map::new();
    for (group, optional) in [("required", false), ("optional", true)] {
        let members: Vec<_> = inputs.iter().filter(|i| i.optional == optional).collect();
        if optional && members.is_empty() {
            continue;
        }
        let names: Vec<_> = members.iter().map(|i| &i.name).collect();
        order.insert(group.into(), json!(names));
        let entries = members.iter().map(|i| (i.name.clone(), i.to_json(folders)));
        input.insert(group.into(), Value::Object(entries.collect()));
    }
    (input, order)
}
