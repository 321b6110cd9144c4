//! By which version's declaration a node was saved, and what it holds in the form of the declaration that runs here.

use std::collections::HashMap;

use super::graph::Widget;
use super::layout::{LEFT_ALONE, Layout, best};
use super::stored::{Stored, last_name};
use super::types::{Context, Remark};
use super::ui;
use super::widgets::{self, Parts};
use crate::constant;
use crate::prompt::{Given, Prompt};
use crate::schema::{Edition, Folders, Input, Kind, Schema};
use crate::settable::input_of;
use crate::versions::Version;

/// A node as one declaration reads it.
pub(super) struct Reading<'a> {
    pub(super) edition: Edition<'a>,
    pub(super) layout: Layout<'a>,
    /// How many values were dummies.
    pub(super) dummies: usize,
}

/// The version that a node says it is of, or its file's editor: the later of the two, for a node keeps the number with which it
/// was made, and is saved anew by later editors.
pub(super) fn named(raw: &ui::Node, editor: Option<Version>) -> Option<Version> {
    let properties = &raw.properties;
    let own = properties["ver"].as_str().filter(|_| properties["cnr_id"] == "comfy-core");
    own.and_then(Version::nearest).max(editor)
}

/// A node by the declaration that fits best; of equal ones, by that of the version that the file names, then by `schema`, which
/// runs here.
pub(super) fn read<'a>(
    schema: &'a Schema,
    raw: &'a ui::Node,
    saved_by: Option<Version>,
    context: &'a Context<'a>,
) -> Reading<'a> {
    let mut editions = context.schemas.saved_by(&schema.class);
    let of_then = |by| editions.iter().filter_map(|edition| edition.version).filter(|version| *version <= by).max();
    let first = saved_by.and_then(of_then);
    editions.sort_by_key(|edition| first.is_none() || edition.version != first);
    let mut readings = editions.into_iter().map(|edition| by(edition, raw, context));
    let mut chosen = readings.next().unwrap_or_else(|| by(Edition { version: None, schema }, raw, context));
    let mut cost = chosen.cost(raw);
    while cost > 0 {
        let Some(other) = readings.next() else { break };
        if other.cost(raw) < cost {
            cost = other.cost(raw);
            chosen = other;
        }
    }
    chosen
}

/// A node by one declaration.
///
/// Values have names in newer files, and names beat places. By place, a slot that only the editor knows, such as a seed's
/// control, may be missing in the file: of the ways to read the values, the one in which they fit best is taken.
fn by<'a>(edition: Edition<'a>, raw: &'a ui::Node, context: &'a Context<'a>) -> Reading<'a> {
    let schema = edition.schema;
    let stored = Stored::read(schema, raw);
    let dummies = stored.dummies;
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
    Reading { edition, layout, dummies }
}

impl Reading<'_> {
    /// How much speaks against it: values that do not fit, and links into inputs that it does not declare.
    fn cost(&self, raw: &ui::Node) -> usize {
        let strange =
            raw.inputs.iter().filter(|input| input.link.is_some() && !declares(self.edition.schema, &input.name));
        self.layout.cost() + LEFT_ALONE * strange.count()
    }
}

/// Whether a class declares an input, be it a socket that the editor adds.
pub(super) fn declares(schema: &Schema, name: &str) -> bool {
    let added = |input: &Input| {
        let behind = name.strip_prefix(input.name.as_str()).is_some_and(|rest| rest.starts_with('.'));
        behind && matches!(input.kind, Kind::Autogrow(_))
    };
    input_of(schema, name).is_some() || schema.inputs.iter().any(added)
}

/// What an input of another declaration is called by the one that runs: itself, or its last name, where an input became a part of
/// a choice. Nothing if that has no such input.
pub(super) fn name_here<'n>(name: &'n str, schema: &Schema) -> Option<&'n str> {
    [name, last_name(name)].into_iter().find(|name| declares(schema, name))
}

/// Whether an input of a declaration is given what that has as its default: leaving it out changes nothing.
pub(super) fn is_default(edition: &Edition<'_>, name: &str, value: &serde_json::Value, folders: &dyn Folders) -> bool {
    let default = input_of(edition.schema, name).and_then(|input| input.kind.default(folders));
    default.is_some_and(|default| constant::equal(&default, value))
}

/// Says that the class that runs here lacks an input; `given` is what the file has there, in words.
pub(super) fn lacks(id: &str, edition: &Edition<'_>, name: &str, given: &str) -> Remark {
    let of = edition.version.map(|version| format!(" of ComfyUI {version}")).unwrap_or_default();
    let text = format!(
        "`{}`{of} has the input `{name}`, here {given}: ComfyUI {}, by whose nodes redraft runs, does not know it, and it is left out",
        edition.schema.class,
        Version::HERE
    );
    Remark::warning(id, text)
}

/// What one declaration found in a node, in the form of another.
pub(super) fn bring(
    edition: Edition<'_>,
    saved: &Parts,
    schema: &Schema,
    raw: &ui::Node,
    context: &Context<'_>,
    remarks: &mut Vec<Remark>,
) -> Parts {
    let layout = Layout::of(schema, context, Stored::moved(&saved.widgets, |name| declares(schema, name)), 0);
    layout.report(raw, remarks);
    let unknown = |name: &str| declares(edition.schema, name) && !declares(schema, name);
    for widget in layout.stored.not_moved().filter(|widget| unknown(&widget.name)) {
        let Some(value) = &widget.value else { continue };
        let linked = raw.inputs.iter().any(|input| input.name == widget.name && input.link.is_some());
        if !linked && !is_default(&edition, &widget.name, value, context.folders) {
            remarks.push(lacks(&raw.id, &edition, &widget.name, &super::api::brief(value)));
        }
    }
    let mut node = ui::Node { id: raw.id.clone(), class: raw.class.clone(), ..ui::Node::default() };
    let mut places: HashMap<&str, usize> = HashMap::new();
    for input in &raw.inputs {
        match name_here(&input.name, schema) {
            Some(name) => match places.get(name) {
                Some(&at) if input.link.is_some() => node.inputs[at].link.clone_from(&input.link),
                Some(_) => {}
                None => {
                    places.insert(name, node.inputs.len());
                    node.inputs.push(ui::Input { name: name.to_owned(), ..input.clone() });
                }
            },
            None if !declares(edition.schema, &input.name) => node.inputs.push(input.clone()),
            None if input.link.is_some() => remarks.push(lacks(&raw.id, &edition, &input.name, "linked")),
            None => {}
        }
    }
    let mut parts = layout.parts;
    widgets::link(&mut parts, &node, true, remarks);
    parts.renumbered = renumbered(edition.schema, schema);
    // Numbered as in the file.
    parts.outputs = widgets::outputs(edition.schema.outputs.iter().map(|output| &output.ty), raw);
    parts
}

/// Gives the inputs of a prompt the names that they have here, and leaves out those that are not known here. What no version
/// declares stays.
pub(super) fn in_prompt(prompt: &mut Prompt, context: &Context<'_>, remarks: &mut Vec<Remark>) {
    for (id, node) in &mut prompt.nodes {
        let Some(schema) = context.schemas.schema(&node.class_type) else { continue };
        let strange: Vec<_> = node.inputs.keys().filter(|name| !declares(schema, name)).cloned().collect();
        if strange.is_empty() {
            continue;
        }
        let editions = context.schemas.saved_by(&node.class_type);
        for name in strange {
            let Some(edition) = editions.iter().rev().find(|edition| declares(edition.schema, &name)) else { continue };
            let Some(given) = node.inputs.shift_remove(&name) else { continue };
            match (name_here(&name, schema), given) {
                (Some(here), given) => {
                    let text = format!("`{name}` of `{}` is called `{here}` here", node.class_type);
                    remarks.push(Remark::note(id.as_str(), text));
                    node.inputs.insert(here.to_owned(), given);
                }
                (None, Given::Link { .. }) => remarks.push(lacks(id.as_str(), edition, &name, "linked")),
                (None, Given::Constant(value)) if !is_default(edition, &name, &value, context.folders) => {
                    remarks.push(lacks(id.as_str(), edition, &name, &super::api::brief(&value)));
                }
                _ => {}
            }
        }
    }
}

/// Which output of `schema` each of `edition` is: the one in its place, if it has its name, else the first of that name; one that it lacks
/// has a number behind all that it has.
fn renumbered(edition: &Schema, schema: &Schema) -> Vec<usize> {
    let each = edition.outputs.iter().enumerate().map(|(number, output)| {
        let here = schema.outputs.get(number).filter(|here| here.name == output.name).map(|_| number);
        let same = here.or_else(|| schema.outputs.iter().position(|other| other.name == output.name));
        same.unwrap_or(if number < schema.outputs.len() { schema.outputs.len() + number } else { number })
    });
    each.collect()
}
