//! From a class's declaration and a saved node to slots and widgets with values, as the editor arranges them.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::bounds::weight;
use super::editions::{self, Reading};
use super::graph::{Output, Slot, Widget};
use super::stored::Kept;
use super::types::{Context, Remark};
use super::ui;
use crate::schema::Schema;
use crate::versions::Version;

/// Widgets that the editor saves and never sends.
pub(super) const EDITORS_OWN: [&str; 3] = ["control_after_generate", "control_filter_list", "upload"];

/// What a file's name may end in to say where it lies.
const FOLDERS: [&str; 3] = ["[input]", "[output]", "[temp]"];

/// The slots and widgets of a node.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) inputs: Vec<Slot>,
    pub(super) outputs: Vec<Output>,
    pub(super) widgets: Vec<Widget>,
    /// Which output each saved one is today, by number; those beyond the list are what they were.
    pub(super) renumbered: Vec<usize>,
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

/// Lays out a class and gives it the values and links of a saved node: of the declarations by which it may have been saved, by the
/// one that fits best. `saved_by` is the version that the file names.
pub(super) fn known(
    schema: &Schema,
    raw: &ui::Node,
    saved_by: Option<Version>,
    context: &Context<'_>,
    remarks: &mut Vec<Remark>,
) -> Parts {
    let Reading { edition, layout, dummies } = editions::read(schema, raw, saved_by, context);
    if dummies > 0 {
        let text = format!("{dummies} saved values of inputs that are sockets today are left out");
        remarks.push(Remark::note(&raw.id, text));
    }
    layout.report(raw, remarks);
    let mut parts = if std::ptr::eq(edition.schema, schema) {
        let mut parts = layout.parts;
        link(&mut parts, raw, true, remarks);
        parts.outputs = outputs(schema.outputs.iter().map(|output| &output.ty), raw);
        parts
    } else {
        editions::bring(edition, &layout.parts, schema, raw, context, remarks)
    };
    adjust(&schema.class, &mut parts.widgets, &raw.id, remarks);
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
