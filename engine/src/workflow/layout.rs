//! A class laid out as the editor lays it out: sockets, widgets, and what it adds itself, each with its saved value.

use serde_json::{Value, json};

use super::graph::{Slot, Widget};
use super::stored::{Fit, Kept, Stored, fit, fits_control, fits_filter};
use super::types::{Context, Remark};
use super::ui;
use super::widgets::Parts;
use crate::schema::{Folders, Input, Kind, Options, Schema, Upload};

/// Classes to which the editor adds a player, which it sends but does not save.
const AUDIO_PLAYERS: [&str; 5] = ["LoadAudio", "SaveAudio", "PreviewAudio", "SaveAudioMP3", "SaveAudioOpus"];
/// Classes to which the editor adds a 3D viewer named `image`.
const MODEL_VIEWERS: [&str; 2] = ["SaveGLB", "Preview3D"];

/// How much speaks against a declaration that has no widget for a value.
pub(super) const LEFT_ALONE: usize = 10;
/// How much speaks against one that has a widget without a value.
const UNSAVED: usize = 5;

/// How many slots that may be missing are tried one by one.
const TRIED: u32 = 4;

/// The layout in which the values fit best; of equal ones, that in which the fewest slots are missing.
pub(super) fn best<'a>(schema: &'a Schema, context: &'a Context<'a>, stored: &Stored<'a>) -> Layout<'a> {
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

/// A class's slots and widgets with the values of a node, and how well they fit.
pub(super) struct Layout<'a> {
    context: &'a Context<'a>,
    pub(super) parts: Parts,
    pub(super) stored: Stored<'a>,
    /// The optional slots that the file is taken to lack, a bit for each.
    pub(super) absent: u32,
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
    pub(super) fn of(schema: &'a Schema, context: &'a Context<'a>, stored: Stored<'a>, absent: u32) -> Self {
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
        if schema.takes_any() {
            layout.undeclared();
        }
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
        let stored = taken.and_then(|(kept, _)| kept);
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
        let (stored, value) = taken.map_or((None, default), |(kept, value)| (kept, value.clone()));
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

    /// The values that the file names and no declared widget took, of a class that takes constants of any name.
    fn undeclared(&mut self) {
        for (name, value) in self.stored.take_others() {
            let stored = Some(Kept { place: None, name: Some(name.to_owned()) });
            let (name, value) = (name.to_owned(), Some(value.clone()));
            self.parts.widgets.push(Widget { name, value, sent: true, saved: true, stored, ..Widget::default() });
        }
    }

    fn button(&mut self, ty: &str, value: &str) {
        self.slot("upload".into(), ty, Some(self.parts.widgets.len()));
        self.extra("upload", json!(value), true, false);
    }

    fn slot(&mut self, name: String, ty: &str, widget: Option<usize>) {
        self.parts.inputs.push(Slot { name, ty: ty.to_owned(), link: None, widget });
    }

    /// How badly the values fit, and how many of them or of the widgets are left alone.
    pub(super) fn cost(&self) -> usize {
        self.penalty + LEFT_ALONE * self.stored.left().len() + UNSAVED * self.short.len()
    }

    /// Values that found no widget or a wrong one, and widgets that found no value.
    pub(super) fn report(&self, raw: &ui::Node, remarks: &mut Vec<Remark>) {
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
