//! From a class's declaration and a saved node to slots and widgets with values, as the editor arranges them.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::bounds::weight;
use super::graph::{Output, Slot, Widget};
use super::types::{Context, Remark};
use super::ui;
use crate::schema::{Input, Kind, Schema, Upload};

/// Classes to which the editor adds a player, which it sends but does not save.
const AUDIO_PLAYERS: [&str; 5] = ["LoadAudio", "SaveAudio", "PreviewAudio", "SaveAudioMP3", "SaveAudioOpus"];
/// Classes to which the editor adds a 3D viewer named `image`.
const MODEL_VIEWERS: [&str; 2] = ["SaveGLB", "Preview3D"];

/// What a file's name may end in to say where it lies.
const FOLDERS: [&str; 3] = ["[input]", "[output]", "[temp]"];

/// The values that a node was saved with.
enum Stored<'a> {
    /// By place, with the place each has in the file.
    List(std::vec::IntoIter<(usize, &'a Value)>),
    /// By name: custom nodes write objects.
    Named(&'a Map<String, Value>, HashSet<&'a str>),
}

impl<'a> Stored<'a> {
    fn next(&mut self, name: &'a str) -> Option<(Option<usize>, &'a Value)> {
        match self {
            Self::List(values) => values.next().map(|(place, value)| (Some(place), value)),
            Self::Named(values, used) => {
                let (name, value) = values.get_key_value(name)?;
                used.insert(name);
                Some((None, value))
            }
        }
    }
}

/// The slots and widgets of a node.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) inputs: Vec<Slot>,
    pub(super) outputs: Vec<Output>,
    pub(super) widgets: Vec<Widget>,
}

impl Parts {
    /// About how many bytes they take: a few kilobytes of a file can describe very many.
    pub(super) fn weight(&self) -> usize {
        const EACH: usize = 256;
        let inputs = self.inputs.iter().map(|slot| slot.name.len() + slot.ty.len());
        let widgets = self.widgets.iter().map(|widget| widget.name.len() + widget.value.as_ref().map_or(0, weight));
        let count = self.inputs.len() + self.outputs.len() + self.widgets.len();
        EACH * count + inputs.sum::<usize>() + widgets.sum::<usize>()
    }
}

/// Lays out a class and gives it the values and links of a saved node.
pub(super) fn known(schema: &Schema, raw: &ui::Node, context: &Context<'_>, remarks: &mut Vec<Remark>) -> Parts {
    let (stored, dummies) = stored(schema, &raw.widgets);
    if dummies > 0 {
        let text = format!("{dummies} saved values of inputs that are sockets today are left out");
        remarks.push(Remark::note(&raw.id, text));
    }
    let mut layout = Layout { context, parts: Parts::default(), short: Vec::new(), stored };
    for input in &schema.inputs {
        layout.sockets(&input.name, input);
    }
    for input in &schema.inputs {
        layout.widgets(&input.name, input);
    }
    layout.additions(schema);
    layout.report(raw, remarks);
    let mut parts = layout.parts;
    adjust(&schema.class, &mut parts.widgets, &raw.id, remarks);
    link(&mut parts, raw, true, remarks);
    let declared = schema.outputs.iter().map(|output| &output.ty);
    parts.outputs = outputs(declared, raw);
    parts
}

/// A node of a class that is not known: its slots as they were saved. The editor gives each value a widget of the
/// name `UNKNOWN`, of which the last is sent.
pub(super) fn unknown(raw: &ui::Node) -> Parts {
    let mut parts = Parts::default();
    link(&mut parts, raw, false, &mut Vec::new());
    // Added after the links, so that no saved input is attached to this widget.
    if let Some(last) = raw.widgets.as_array().and_then(|values| values.last()) {
        parts.widgets.push(Widget {
            name: "UNKNOWN".into(),
            value: Some(last.clone()),
            sent: true,
            ..Widget::default()
        });
    }
    parts.outputs = outputs([].into_iter(), raw);
    parts
}

/// The saved values, and how many were dummies.
fn stored<'a>(schema: &Schema, values: &'a Value) -> (Stored<'a>, usize) {
    match values {
        Value::Object(values) => (Stored::Named(values, HashSet::new()), 0),
        Value::Array(values) => {
            let mut list: Vec<_> = values.iter().enumerate().collect();
            drop_dummies(schema, &mut list);
            let dummies = values.len() - list.len();
            (Stored::List(list.into_iter()), dummies)
        }
        _ => (Stored::List(Vec::new().into_iter()), 0),
    }
}

/// Editors before 1.16 stored a dummy for a widget that the class forces to be a socket. If the count fits only with
/// the dummies, they are taken out.
fn drop_dummies<T>(schema: &Schema, values: &mut Vec<T>) {
    let owners = || schema.inputs.iter().filter(|input| input.is_widget() || input.force_input);
    let width = |input: &Input| {
        let seeded = input.name == "seed" || input.name == "noise_seed";
        if input.has_control() || seeded { 2 } else { 1 }
    };
    if !owners().any(|input| input.force_input) || owners().map(width).sum::<usize>() != values.len() {
        return;
    }
    let keep: Vec<bool> = owners().flat_map(|input| std::iter::repeat_n(!input.force_input, width(input))).collect();
    let mut keep = keep.into_iter();
    values.retain(|_| keep.next().unwrap_or(true));
}

struct Layout<'a> {
    context: &'a Context<'a>,
    parts: Parts,
    stored: Stored<'a>,
    /// Widgets that are sent and found no value.
    short: Vec<String>,
}

impl<'a> Layout<'a> {
    fn sockets(&mut self, name: &str, input: &Input) {
        match &input.kind {
            Kind::Autogrow(grow) => {
                for name in
                    (0..grow.min).filter_map(|i| grow.name(i)).map(|last| format!("{name}.{last}", name = input.name))
                {
                    self.slot(name, grow.template.kind.type_name(), None);
                }
            }
            kind if !input.is_widget() => self.slot(name.to_owned(), kind.type_name(), None),
            _ => {}
        }
    }

    fn widgets(&mut self, name: &'a str, input: &'a Input) {
        self.named_widgets(name.to_owned(), name, input);
    }

    /// One input's widgets: its own, those that control it, and those that its choice brings.
    fn named_widgets(&mut self, name: String, key: &'a str, input: &'a Input) {
        if !input.is_widget() {
            return;
        }
        let taken = self.stored.next(key);
        let value = match taken {
            Some((_, value)) => Some(value.clone()),
            None => input.kind.default(self.context.folders),
        };
        if taken.is_none() {
            self.short.push(name.clone());
        }
        let dynamic_prompts = matches!(input.kind, Kind::Text { dynamic_prompts: true, .. });
        let choice = value.clone();
        let stored = taken.and_then(|(place, _)| place);
        self.slot(name.clone(), input.kind.type_name(), Some(self.parts.widgets.len()));
        self.parts.widgets.push(Widget {
            name: name.clone(),
            value,
            sent: true,
            dynamic_prompts,
            saved: true,
            controls: false,
            stored,
        });
        self.controls(input);
        if let Kind::DynamicCombo(choices) = &input.kind {
            let chosen = choices.iter().find(|c| choice.as_ref().and_then(Value::as_str) == Some(c.key.as_str()));
            for input in chosen.into_iter().flat_map(|choice| &choice.inputs) {
                let name = format!("{name}.{}", input.name);
                if input.is_widget() {
                    self.named_widgets(name, &input.name, input);
                } else {
                    self.sockets(&name, input);
                }
            }
        }
    }

    /// The widgets that change the value before them after each run: saved, never sent.
    fn controls(&mut self, input: &Input) {
        if !input.has_control() {
            return;
        }
        let default = if matches!(input.kind, Kind::Float { .. }) { "fixed" } else { "randomize" };
        self.extra("control_after_generate", json!(default), true, false);
        self.parts.widgets.last_mut().into_iter().for_each(|widget| widget.controls = true);
        if matches!(input.kind, Kind::Combo { .. }) {
            self.extra("control_filter_list", json!(""), true, false);
            self.parts.widgets.last_mut().into_iter().for_each(|widget| widget.controls = true);
        }
    }

    fn extra(&mut self, name: &'static str, default: Value, saved: bool, sent: bool) {
        let taken = if saved { self.stored.next(name) } else { None };
        let value = taken.map_or(default, |(_, value)| value.clone());
        let stored = taken.and_then(|(place, _)| place);
        let widget = Widget { name: name.into(), value: Some(value), sent, saved, stored, ..Widget::default() };
        self.parts.widgets.push(widget);
    }

    /// What the editor itself adds to some classes.
    fn additions(&mut self, schema: &Schema) {
        let class = schema.class.as_str();
        if class == "LoadImageOutput" {
            self.extra("refresh", json!("refresh"), true, true);
        }
        if MODEL_VIEWERS.contains(&class) {
            self.extra("image", json!(""), true, true);
        }
        if class == "PreviewAny" {
            self.extra("preview", json!(""), false, true);
            self.extra("previewMode", json!(false), true, true);
        }
        if AUDIO_PLAYERS.contains(&class) {
            self.slot("audioUI".into(), "AUDIO_UI", Some(self.parts.widgets.len()));
            self.extra("audioUI", json!(""), false, true);
        }
        match upload(schema) {
            Some(Upload::Audio) => self.button("AUDIOUPLOAD", ""),
            Some(_) => self.button("IMAGEUPLOAD", "image"),
            None => {}
        }
    }

    fn button(&mut self, ty: &str, value: &str) {
        self.slot("upload".into(), ty, Some(self.parts.widgets.len()));
        self.extra("upload", json!(value), true, false);
    }

    fn slot(&mut self, name: String, ty: &str, widget: Option<usize>) {
        self.parts.inputs.push(Slot { name, ty: ty.to_owned(), link: None, widget });
    }

    /// Values that found no widget, and widgets that found no value.
    fn report(&mut self, raw: &ui::Node, remarks: &mut Vec<Remark>) {
        // Empty values are left behind by display widgets such as a preview's.
        let says = |value: &Value| !value.is_null() && value.as_str() != Some("");
        let left: Vec<String> = match &mut self.stored {
            Stored::List(values) => values.filter(|(_, v)| says(v)).map(|(_, v)| super::api::brief(v)).collect(),
            Stored::Named(values, used) => {
                values.keys().filter(|key| !used.contains(key.as_str())).map(|key| format!("`{key}`")).collect()
            }
        };
        let class = &raw.class;
        if !left.is_empty() {
            let text = format!("`{class}` has no widgets for the saved values {}", listed(&left));
            // Where there are no widgets, none can have the wrong value.
            let remark = if self.parts.widgets.is_empty() { Remark::note } else { Remark::warning };
            remarks.push(remark(&raw.id, text));
        }
        if !self.short.is_empty() {
            let names: Vec<_> = self.short.iter().map(|name| format!("`{name}`")).collect();
            let text = format!("nothing is saved for {} of `{class}`: the default is taken", listed(&names));
            remarks.push(Remark::note(&raw.id, text));
        }
    }
}

fn listed(words: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = words.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if words.len() > SHOWN {
        text.push_str(&format!(" and {} more", words.len() - SHOWN));
    }
    text
}

/// Which button the editor puts below a class's widgets: that of its first required combo of files.
fn upload(schema: &Schema) -> Option<Upload> {
    schema.inputs.iter().filter(|input| !input.optional).find_map(|input| match input.kind {
        Kind::Combo { upload: Some(Upload::Audio), .. } if input.name != "audio" => None,
        Kind::Combo { upload, .. } => upload,
        _ => None,
    })
}

/// What the editor changes in old values.
fn adjust(class: &str, widgets: &mut [Widget], id: &str, remarks: &mut Vec<Remark>) {
    for widget in widgets {
        let Some(Value::String(text)) = &mut widget.value else { continue };
        let before = text.clone();
        match (class, widget.name.as_str()) {
            ("KSampler" | "KSamplerAdvanced", "sampler_name") => {
                if let Some(name) = text.strip_prefix("sample_") {
                    *text = name.to_owned();
                }
            }
            ("LoadImageOutput", "image") if !FOLDERS.iter().any(|folder| text.contains(folder)) => {
                text.push_str(" [output]");
            }
            _ => {}
        }
        if *text != before {
            let text = format!(
                "`{}` was saved as `{}`: `{}` is meant",
                widget.name,
                before.escape_debug(),
                text.escape_debug()
            );
            remarks.push(Remark::note(id, text));
        }
    }
}

/// Takes over the saved inputs: links by name, and the inputs that the class does not declare.
pub(super) fn link(parts: &mut Parts, raw: &ui::Node, known: bool, remarks: &mut Vec<Remark>) {
    let mut saved: HashMap<&str, &ui::Input> = raw.inputs.iter().map(|input| (input.name.as_str(), input)).collect();
    let mut declared = HashSet::new();
    for slot in &mut parts.inputs {
        if let Some(input) = saved.remove(slot.name.as_str()) {
            slot.link.clone_from(&input.link);
        }
        declared.insert(slot.name.clone());
    }
    let by_name: HashMap<String, usize> =
        parts.widgets.iter().enumerate().rev().map(|(place, widget)| (widget.name.clone(), place)).collect();
    for input in raw.inputs.iter().filter(|input| !declared.contains(&input.name)) {
        let widget = input.widget.as_ref().and_then(|name| by_name.get(name).copied());
        if known && input.widget.is_some() && widget.is_none() {
            if input.link.is_some() {
                let text = format!("`{}` has no input `{}`: its link is left out", raw.class, input.name);
                remarks.push(Remark::warning(&raw.id, text));
            }
            continue;
        }
        parts.inputs.push(Slot { name: input.name.clone(), ty: input.ty.clone(), link: input.link.clone(), widget });
    }
}

/// The outputs: their links as they were saved, their types as declared.
pub(super) fn outputs<'a>(declared: impl Iterator<Item = &'a String>, raw: &ui::Node) -> Vec<Output> {
    let mut declared: Vec<_> = declared.map(|ty| Some(ty.clone())).collect();
    declared.resize(declared.len().max(raw.outputs.len()), None);
    let each = declared.into_iter().enumerate().map(|(place, ty)| {
        let saved = raw.outputs.get(place);
        // The editor sets the type of a match-type output from the node's links; the saved type is kept.
        let ty = ty.filter(|ty| ty != "COMFY_MATCHTYPE_V3" || saved.is_none());
        let ty = ty.or_else(|| saved.map(|output| output.ty.clone())).unwrap_or_else(|| "*".into());
        Output { ty, links: saved.map(|output| output.links.clone()).unwrap_or_default() }
    });
    each.collect()
}
