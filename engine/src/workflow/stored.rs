//! The values that a node was saved with, by place and by name, and whether a value can belong to a widget.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::graph::Widget;
use super::ui;
use super::widgets::EDITORS_OWN;
use crate::schema::{Input, Kind, Options, Schema};

/// Where the file keeps a widget's value: in the list, under a name, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) place: Option<usize>,
    pub(super) name: Option<String>,
}

/// The words of a `control_after_generate`.
const CONTROLS: [&str; 5] = ["fixed", "increment", "decrement", "randomize", "increment-wrap"];
/// What players and buttons of packs keep under a name, and never send.
const PLAYERS: [&str; 4] =
    ["videopreview", "choose video to upload", "choose audio to upload", "choose folder to upload"];
/// What the buttons above a 3D viewer are saved as.
const VIEWER_BUTTONS: [&str; 3] = ["upload3dmodel", "uploadExtraResources", "clear"];

/// Whether a value can be what a widget was saved with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Good,
    /// No editor of today would save it, but it has a meaning.
    Odd,
    /// It must belong to something else.
    Not,
}

impl Fit {
    /// How much speaks against the whole arrangement.
    pub(super) fn penalty(self) -> usize {
        match self {
            Self::Good => 0,
            Self::Odd => 1,
            Self::Not => 10,
        }
    }
}

/// Whether a value fits an input's widget.
pub(super) fn fit(kind: &Kind, value: &Value) -> Fit {
    let is_number = |text: &str| text.trim().parse::<f64>().is_ok();
    match (kind, value) {
        // A widget that was turned into a socket may be saved as null.
        (_, Value::Null) | (Kind::Widget { .. } | Kind::Socket(_) | Kind::Autogrow(_), _) => Fit::Good,
        (Kind::Int { .. } | Kind::Float { .. }, Value::Number(_)) => Fit::Good,
        (Kind::Int { .. } | Kind::Float { .. }, Value::String(text)) if is_number(text) => Fit::Odd,
        (Kind::Int { .. } | Kind::Float { .. }, _) => Fit::Not,
        (Kind::Boolean { .. }, Value::Bool(_)) => Fit::Good,
        (Kind::Boolean { .. }, Value::Number(number)) if matches!(number.as_f64(), Some(0.0 | 1.0)) => Fit::Odd,
        (Kind::Boolean { .. }, Value::String(text)) if ["true", "false"].contains(&text.as_str()) => Fit::Odd,
        (Kind::Boolean { .. }, _) => Fit::Not,
        (Kind::Text { .. }, Value::String(_)) => Fit::Good,
        (Kind::Text { .. }, Value::Number(_) | Value::Bool(_)) => Fit::Odd,
        (Kind::Text { .. }, _) => Fit::Not,
        (Kind::Combo { options: Options::Fixed(choices), .. }, Value::String(text)) => {
            if choices.is_empty() || choices.contains(text) { Fit::Good } else { Fit::Odd }
        }
        (Kind::Combo { options: Options::Fixed(choices), .. }, other) => {
            if choices.contains(&other.to_string()) {
                Fit::Odd
            } else {
                Fit::Not
            }
        }
        (Kind::Combo { options: Options::Values(choices), .. }, value) => {
            if choices.iter().any(|choice| crate::constant::equal(choice, value)) { Fit::Good } else { Fit::Odd }
        }
        (Kind::Combo { options: Options::Files { .. }, .. }, Value::String(_)) => Fit::Good,
        (Kind::Combo { options: Options::Files { .. }, .. }, _) => Fit::Not,
        (Kind::DynamicCombo(choices), value) => match value.as_str() {
            Some(key) if choices.iter().any(|choice| choice.key == key) => Fit::Good,
            Some(_) => Fit::Odd,
            None => Fit::Not,
        },
    }
}

/// Whether a value fits a `control_after_generate`; old files have a boolean.
pub(super) fn fits_control(value: &Value) -> Fit {
    match value {
        Value::Null | Value::Bool(_) => Fit::Good,
        Value::String(text) if text.is_empty() => Fit::Odd,
        other if is_control(other) => Fit::Good,
        _ => Fit::Not,
    }
}

/// Whether a value fits the text that filters a controlled combo.
pub(super) fn fits_filter(value: &Value) -> Fit {
    if value.is_null() || value.is_string() { Fit::Good } else { Fit::Not }
}

fn is_control(value: &Value) -> bool {
    value.as_str().is_some_and(|text| CONTROLS.contains(&text))
}

/// A value that another declaration found for its widget.
#[derive(Clone)]
struct Moved<'a> {
    widget: &'a Widget,
    /// Whether the declaration that takes the values knows no such name.
    strange: bool,
    taken: bool,
}

/// The values of one node.
#[derive(Clone, Default)]
pub(super) struct Stored<'a> {
    /// In place of all else: values by the names of another declaration.
    moved: Option<Vec<Moved<'a>>>,
    /// By place, with the place each has in the file.
    list: Vec<(usize, &'a Value)>,
    next: usize,
    named: Option<&'a Map<String, Value>>,
    used: HashSet<&'a str>,
    /// How many values were dummies.
    pub(super) dummies: usize,
}

impl<'a> Stored<'a> {
    pub(super) fn read(schema: &Schema, raw: &'a ui::Node) -> Self {
        let named = raw.named.as_object().or_else(|| raw.widgets.as_object()).filter(|named| !named.is_empty());
        let mut list: Vec<_> = raw.widgets.as_array().into_iter().flatten().enumerate().collect();
        let before = list.len();
        drop_dummies(schema, &mut list);
        let dummies = before - list.len();
        Self { moved: None, list, next: 0, named, used: HashSet::new(), dummies }
    }

    /// The values that another declaration found for its widgets. `known` are the names of the one that takes them.
    pub(super) fn moved(widgets: &'a [Widget], known: impl Fn(&str) -> bool) -> Self {
        let moved = widgets.iter().map(|widget| Moved { widget, strange: !known(&widget.name), taken: false });
        Self { moved: Some(moved.collect()), ..Self::default() }
    }

    /// The widgets of the other declaration whose values were not taken.
    pub(super) fn not_moved(&self) -> impl Iterator<Item = &'a Widget> {
        self.moved.iter().flatten().filter(|moved| !moved.taken).map(|moved| moved.widget)
    }

    /// The same without the names, if there are any.
    pub(super) fn by_place(&self) -> Option<Self> {
        let named = self.named.filter(|_| !self.list.is_empty());
        named.map(|_| Self { named: None, ..self.clone() })
    }

    /// The same without the places.
    pub(super) fn by_name(self) -> Self {
        Self { list: Vec::new(), ..self }
    }

    /// The value under a name.
    pub(super) fn named(&self, name: &str) -> Option<&'a Value> {
        self.named?.get(name)
    }

    /// The next value for a widget of this name, or of its name without what stands before the dot. A name beats the place.
    pub(super) fn take(&mut self, name: &str, last: &str) -> Option<(Option<Kept>, &'a Value)> {
        if self.moved.is_some() {
            let widget = self.take_moved(name, last)?;
            return Some((widget.stored.clone(), widget.value.as_ref()?));
        }
        let placed = self.list.get(self.next).copied();
        self.next += 1;
        let named = self.named.and_then(|named| named.get_key_value(name).or_else(|| named.get_key_value(last)));
        if let Some((name, value)) = named {
            self.used.insert(name);
            return Some((Some(Kept { place: placed.map(|(place, _)| place), name: Some(name.clone()) }), value));
        }
        placed.map(|(place, value)| (Some(Kept { place: Some(place), name: None }), value))
    }

    /// The other declaration's widget of this name behind a choice's, which beats one that is kept under it for older prompts; of
    /// this name; or of its name without a choice's. A control is that of the widget that was taken last.
    fn take_moved(&mut self, name: &str, last: &str) -> Option<&'a Widget> {
        let moved = self.moved.as_mut()?;
        let open = |at: &usize| moved.get(*at).is_some_and(|moved| !moved.taken);
        let named = |wanted: &dyn Fn(&Moved<'_>) -> bool| {
            (0..moved.len()).filter(&open).find(|at| !moved[*at].widget.controls && wanted(&moved[*at]))
        };
        let control =
            Some(self.next).filter(|at| open(at) && moved[*at].widget.controls && moved[*at].widget.name == name);
        let at = control
            .or_else(|| named(&|other| other.strange && last_name(&other.widget.name) == name))
            .or_else(|| named(&|other| other.widget.name == name))
            .or_else(|| named(&|other| other.widget.name == last))?;
        moved[at].taken = true;
        self.next = at + 1;
        Some(moved[at].widget)
    }

    /// The next value that has a place, whatever its name.
    pub(super) fn next(&self) -> Option<&'a Value> {
        self.list.get(self.next).map(|(_, value)| *value)
    }

    /// The plain values with a name that nothing took, and that the editor does not keep for itself.
    pub(super) fn take_others(&mut self) -> Vec<(&'a str, &'a Value)> {
        let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
        let named = self.named.into_iter().flatten().map(|(name, value)| (name.as_str(), value));
        let others =
            named.filter(|(name, value)| !self.used.contains(name) && !EDITORS_OWN.contains(name) && plain(value));
        let others: Vec<_> = others.collect();
        self.used.extend(others.iter().map(|(name, _)| *name));
        others
    }

    /// Passes over the buttons above a 3D viewer, which are saved among the values.
    pub(super) fn skip_buttons(&mut self) {
        while self.next().and_then(Value::as_str).is_some_and(|text| VIEWER_BUTTONS.contains(&text)) {
            self.next += 1;
        }
    }

    /// Passes over a control where a number belongs: the class had one when the file was saved.
    pub(super) fn skip_control(&mut self, kind: &Kind) -> bool {
        let wanted = matches!(kind, Kind::Int { .. } | Kind::Float { .. } | Kind::Boolean { .. });
        let skipped = wanted && self.next > 0 && self.next().is_some_and(is_control);
        self.next += usize::from(skipped);
        skipped
    }

    /// What no widget took, in words. Empty values are left behind by display widgets such as a preview's.
    pub(super) fn left(&self) -> Vec<String> {
        if self.moved.is_some() {
            return Vec::new();
        }
        let says = |value: &Value| !value.is_null() && value.as_str() != Some("");
        if let Some(named) = self.named {
            let left = named.iter().filter(|(name, value)| {
                !self.used.contains(name.as_str()) && !PLAYERS.contains(&name.as_str()) && says(value)
            });
            return left.map(|(name, _)| format!("`{}`", name.escape_debug())).collect();
        }
        let left = self.list.iter().skip(self.next).filter(|(_, value)| says(value));
        left.map(|(_, value)| super::api::brief(value)).collect()
    }
}

/// `codec` of `format.codec`.
pub(super) fn last_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
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
