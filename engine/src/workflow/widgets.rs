//! From a class's declaration and a saved node to slots and widgets with values, as the editor arranges them.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::graph::{Output, Slot, Widget};
use super::stored::{Fit, Kept, Stored, fit, fits_control, fits_filter};
use super::types::{Context, Remark};
use super::ui;
use crate::schema::{Folders, Input, Kind, Options, Schema, Upload};

/// Widgets that the editor saves and never sends.
const EDITORS_OWN: [&str; 3] = ["control_after_generate", "control_filter_list", "upload"];

/// Classes to which the editor adds a player, which it sends but does not save.
const AUDIO_PLAYERS: [&str; 5] = ["LoadAudio", "SaveAudio", "PreviewAudio", "SaveAudioMP3", "SaveAudioOpus"];
/// Classes to which the editor adds a 3D viewer named `image`.
const MODEL_VIEWERS: [&str; 2] = ["SaveGLB", "Preview3D"];

/// What a file's name may end in to say where it lies.
const FOLDERS: [&str; 3] = ["[input]", "[output]", "[temp]"];

/// The slots and widgets of a node.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) inputs: Vec<Slot>,
    pub(super) outputs: Vec<Output>,
    pub(super) widgets: Vec<Widget>,
}

/// Lays out a class and gives it the values and links of a saved node.
///
/// Values have names in newer files, and names beat places. By place, a slot that only the editor knows, such as a seed's
/// control, may be missing in the file: of the ways to read the values, the one in which they fit best is taken.
pub(super) fn known(schema: &Schema, raw: &ui::Node, context: &Context<'_>, remarks: &mut Vec<Remark>) -> Parts {
    let stored = Stored::read(schema, raw);
    if stored.dummies > 0 {
        let text = format!("{} saved values of inputs that are sockets today are left out", stored.dummies);
        remarks.push(Remark::note(&raw.id, text));
    }
    let layout = match stored.by_place() {
        Some(places) => {
            let placed = best(schema, context, &places);
            let agrees = |widget: &Widget| {
                widget.controls || stored.named(&widget.name).is_none_or(|named| Some(named) == widget.value.as_ref())
            };
            let trusted = placed.parts.widgets.iter().all(agrees);
            let absent = placed.absent;
            let stored = if trusted { stored } else { stored.by_name() };
            Layout::of(schema, context, stored, absent)
        }
        None => best(schema, context, &stored),
    };
    layout.report(raw, remarks);
    let mut parts = layout.parts;
    adjust(&schema.class, &mut parts.widgets, &raw.id, remarks);
    link(&mut parts, raw, true, remarks);
    let declared = schema.outputs.iter().map(|output| &output.ty);
    parts.outputs = outputs(declared, raw);
    parts
}

/// A node of a class that is not known: its slots as they were saved, and its values where the file names them. Where it
/// does not, the editor gives each value a widget of the name `UNKNOWN`, of which the last is sent.
pub(super) fn unknown(raw: &ui::Node) -> Parts {
    let mut parts = Parts::default();
    let named = raw.named.as_object().into_iter().flatten();
    for (name, value) in named.filter(|(name, _)| !EDITORS_OWN.contains(&name.as_str())) {
        let kept = Kept { place: None, name: Some(name.clone()) };
        parts.widgets.push(Widget {
            name: name.clone(),
            value: Some(value.clone()),
            sent: true,
            saved: true,
            stored: Some(kept),
            ..Widget::default()
        });
    }
    link(&mut parts, raw, false, &mut Vec::new());
    // A widget that the file names by its input has no value here, but may be given one over a link.
    for (slot, input) in parts.inputs.iter_mut().zip(&raw.inputs) {
        if let (None, Some(name)) = (slot.widget, &input.widget) {
            slot.widget = Some(parts.widgets.len());
            parts.widgets.push(Widget { name: name.clone(), sent: true, ..Widget::default() });
        }
    }
    // Added after the links, so that no saved input is attached to this widget.
    if let (true, Some(last)) = (raw.named.is_null(), raw.widgets.as_array().and_then(|values| values.last())) {
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

/// How many slots that may be missing are tried one by one.
const TRIED: u32 = 4;

/// The layout in which the values fit best; of equal ones, that in which the fewest slots are missing.
fn best<'a>(schema: &'a Schema, context: &'a Context<'a>, stored: &Stored<'a>) -> Layout<'a> {
    let mut best = Layout::of(schema, context, stored.clone(), 0);
    if best.penalty == 0 || best.optional == 0 {
        return best;
    }
    let mut tries: Vec<u32> = (1..1u32 << best.optional.min(TRIED)).chain([u32::MAX]).collect();
    tries.sort_by_key(|absent| absent.count_ones());
    for absent in tries {
        let other = Layout::of(schema, context, stored.clone(), absent);
        if other.penalty < best.penalty {
            best = other;
        }
    }
    best
}

struct Layout<'a> {
    context: &'a Context<'a>,
    parts: Parts,
    stored: Stored<'a>,
    /// The optional slots that the file is taken to lack, a bit for each.
    absent: u32,
    /// How many optional slots there are.
    optional: u32,
    /// How badly the values fit.
    penalty: usize,
    /// Widgets whose value cannot be theirs, by number, with what they want.
    misfits: Vec<(usize, String)>,
    /// Widgets that are sent and found no value.
    short: Vec<String>,
    /// Slots that were passed over, or that the file lacks, in words.
    notes: Vec<String>,
}

impl<'a> Layout<'a> {
    fn of(schema: &'a Schema, context: &'a Context<'a>, stored: Stored<'a>, absent: u32) -> Self {
        let mut layout = Self {
            context,
            parts: Parts::default(),
            stored,
            absent,
            optional: 0,
            penalty: 0,
            misfits: Vec::new(),
            short: Vec::new(),
            notes: Vec::new(),
        };
        for input in &schema.inputs {
            layout.sockets(&input.name, input);
        }
        for input in &schema.inputs {
            layout.widgets(input.name.clone(), input);
        }
        layout.additions(schema);
        layout
    }

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

    /// One input's widgets: its own, those that control it, and those that its choice brings.
    fn widgets(&mut self, name: String, input: &'a Input) {
        if !input.is_widget() {
            return;
        }
        if matches!(&input.kind, Kind::Widget { ty, .. } if ty == "LOAD_3D") {
            self.stored.skip_buttons();
        }
        if self.stored.skip_control(&input.kind) {
            self.notes
                .push(format!("a control was saved before `{name}`, of which the class has none: it is left out"));
        }
        let taken = self.stored.take(&name, &input.name);
        let value = match &taken {
            Some((_, value)) => {
                self.judge(fit(&input.kind, value), || wanted(&input.kind, self.context.folders));
                Some((*value).clone())
            }
            None => {
                self.short.push(name.clone());
                input.kind.default(self.context.folders)
            }
        };
        let dynamic_prompts = matches!(input.kind, Kind::Text { dynamic_prompts: true, .. });
        let choice = value.clone();
        let stored = taken.map(|(kept, _)| kept);
        self.slot(name.clone(), input.kind.type_name(), Some(self.parts.widgets.len()));
        let controlled = input.has_control_as(&name);
        self.parts.widgets.push(Widget {
            name: name.clone(),
            value,
            sent: true,
            dynamic_prompts,
            saved: true,
            controls: false,
            stored,
        });
        if controlled {
            self.controls(input);
        }
        if let Kind::DynamicCombo(choices) = &input.kind {
            let chosen = choices.iter().find(|c| choice.as_ref().and_then(Value::as_str) == Some(c.key.as_str()));
            for input in chosen.into_iter().flat_map(|choice| &choice.inputs) {
                let name = format!("{name}.{}", input.name);
                if input.is_widget() {
                    self.widgets(name, input);
                } else {
                    self.sockets(&name, input);
                }
            }
        }
    }

    /// Counts how badly a value fits the widget that comes next.
    fn judge(&mut self, fit: Fit, wanted: impl FnOnce() -> String) {
        self.penalty += fit.penalty();
        if fit == Fit::Not {
            let wanted = wanted();
            self.misfits.push((self.parts.widgets.len(), wanted));
        }
    }

    /// The widgets that change the value before them after each run: saved, never sent, and missing in some files.
    fn controls(&mut self, input: &Input) {
        let default = if matches!(input.kind, Kind::Float { .. }) { "fixed" } else { "randomize" };
        self.control("control_after_generate", json!(default), fits_control);
        if matches!(input.kind, Kind::Combo { .. }) {
            self.control("control_filter_list", json!(""), fits_filter);
        }
    }

    fn control(&mut self, name: &'static str, default: Value, fit: fn(&Value) -> Fit) {
        let bit = 1u32.checked_shl(self.optional).unwrap_or(0);
        self.optional += 1;
        if self.absent & bit != 0 && self.stored.next().is_some() {
            self.notes.push(format!("`{name}` was not saved: the values after it are taken without it"));
            self.parts.widgets.push(Widget {
                name: name.into(),
                value: Some(default),
                saved: true,
                ..Widget::default()
            });
        } else {
            if let Some(value) = self.stored.next() {
                self.judge(fit(value), || "one of fixed, increment, decrement and randomize".to_owned());
            }
            self.extra(name, default, true, false);
        }
        self.parts.widgets.last_mut().into_iter().for_each(|widget| widget.controls = true);
    }

    fn extra(&mut self, name: &'static str, default: Value, saved: bool, sent: bool) {
        let taken = if saved { self.stored.take(name, name) } else { None };
        let (stored, value) = taken.map_or((None, default), |(kept, value)| (Some(kept), value.clone()));
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

    /// Values that found no widget or a wrong one, and widgets that found no value.
    fn report(&self, raw: &ui::Node, remarks: &mut Vec<Remark>) {
        let class = &raw.class;
        remarks.extend(self.notes.iter().map(|note| Remark::note(&raw.id, note.clone())));
        for (widget, wanted) in &self.misfits {
            let widget = &self.parts.widgets[*widget];
            let value = widget.value.as_ref().map(super::api::brief).unwrap_or_default();
            let text = format!(
                "`{}` was saved as {value}, which cannot belong there (it wants {wanted}): the values may be of another \
                 version of `{class}`; set them anew",
                widget.name
            );
            remarks.push(Remark::warning(&raw.id, text));
        }
        let left = self.stored.left();
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

/// What a widget takes, in words.
fn wanted(kind: &Kind, folders: &dyn Folders) -> String {
    const SHOWN: usize = 6;
    let choices = match kind {
        Kind::Combo { options: Options::Files { .. }, .. } => return "a file's name".to_owned(),
        Kind::Combo { options, .. } => options.list(folders),
        Kind::DynamicCombo(choices) => choices.iter().map(|choice| choice.key.clone()).collect(),
        kind => return format!("a value of type {}", kind.type_name()),
    };
    let shown: Vec<_> = choices.iter().take(SHOWN).map(String::as_str).collect();
    let more = if choices.len() > SHOWN { ", ..." } else { "" };
    format!("one of {}{more}", shown.join(", "))
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
