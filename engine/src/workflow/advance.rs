//! What the editor does between two runs: each `control_after_generate` changes the value before it.

use serde_json::{Value, json};

use super::build;
use super::graph::{Graph, Location, Node, Role};
use super::random::Random;
use super::stored::Kept;
use super::types::{Context, ReadError};
use crate::schema::{Input, Kind, integer};

/// Numbers are controlled within this, whatever the class allows: 2^50.
const REACH: i128 = 1 << 50;
/// The step of a number whose class declares none, as in the editor.
const FLOAT_STEP: f64 = 0.5;

/// The file, in the editor's form, as it stands after a run: seeds are incremented, drawn anew or kept, as each
/// node's control says. The same `context.seed` draws the same.
///
/// # Errors
/// When the file cannot be expanded; see [`super::read`].
pub fn advance(file: &Value, context: &Context<'_>) -> Result<Value, ReadError> {
    let graphs = build::build(file, context)?;
    let mut random = Random::new(context.seed);
    let mut advanced = file.clone();
    for graph in graphs.all.iter().rev() {
        let Some(location) = graph.location else { continue };
        for node in &graph.nodes {
            for (kept, value) in controlled(graph, node, context, &mut random) {
                write(&mut advanced, location, node.place, kept, value);
            }
        }
    }
    Ok(advanced)
}

/// A graph of the file.
pub(super) fn graph(file: &mut Value, graph: Location) -> Option<&mut Value> {
    match graph {
        Location::Root => Some(file),
        Location::Subgraph(place) => file.get_mut("definitions")?.get_mut("subgraphs")?.get_mut(place),
    }
}

/// The node at a place of a graph of the file.
pub(super) fn node(file: &mut Value, location: Location, place: usize) -> Option<&mut Value> {
    graph(file, location)?.get_mut("nodes")?.get_mut(place)
}

/// Writes a widget's value into the file, wherever it keeps it.
pub(super) fn write(file: &mut Value, graph: Location, place: usize, kept: &Kept, value: Value) {
    let Some(node) = node(file, graph, place) else { return };
    if let Some(old) = kept.place.and_then(|place| node.get_mut("widgets_values")?.get_mut(place)) {
        old.clone_from(&value);
    }
    for values in ["widgets_values_named", "widgets_values"] {
        let old = kept.name.as_ref().and_then(|name| node.get_mut(values)?.as_object_mut()?.get_mut(name));
        if let Some(old) = old {
            old.clone_from(&value);
        }
    }
}

/// The new values of a node's controlled widgets, with where the file keeps them.
fn controlled<'a>(graph: &Graph, node: &'a Node, context: &Context<'_>, random: &mut Random) -> Vec<(&'a Kept, Value)> {
    let mut changed = Vec::new();
    for (number, widget) in node.widgets.iter().enumerate().filter(|(_, widget)| !widget.controls) {
        let parts = node.widgets[number + 1..].iter().take_while(|next| next.controls);
        let parts: Vec<_> = parts.map(|part| part.value.as_ref().unwrap_or(&Value::Null)).collect();
        let (Some(control), Some(kept), Some(value)) = (parts.first(), &widget.stored, &widget.value) else { continue };
        let filter = parts.get(1).and_then(|filter| filter.as_str()).unwrap_or_default();
        let declared = declared(graph, node, &widget.name, context);
        if let Some(value) = declared.and_then(|input| next(value, mode(control), filter, input, context, random)) {
            changed.push((kept, value));
        }
    }
    changed
}

/// The declaration behind a widget; behind a primitive's, that of the first widget it feeds.
fn declared<'a>(graph: &Graph, node: &Node, name: &str, context: &Context<'a>) -> Option<&'a Input> {
    if node.role == Role::Primitive {
        let mut links = node.outputs.iter().flat_map(|output| &output.links);
        let (target, widget) = links.find_map(|link| graph.fed_widgets(link).next())?;
        let target = &graph.nodes[target];
        return context.schemas.schema(&target.class)?.input(&target.widgets[widget].name);
    }
    context.schemas.schema(&node.class)?.input(name)
}

/// The control's name; old files have a boolean.
fn mode(control: &Value) -> &str {
    match control {
        Value::Bool(true) => "randomize",
        other => other.as_str().unwrap_or("fixed"),
    }
}

fn next(
    value: &Value,
    mode: &str,
    filter: &str,
    input: &Input,
    context: &Context<'_>,
    random: &mut Random,
) -> Option<Value> {
    match &input.kind {
        Kind::Int { min, max, step, .. } => {
            let (low, high) = (min.unwrap_or(0).max(-REACH), max.unwrap_or(REACH).min(REACH));
            let step = step.unwrap_or(1).max(1);
            let old = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))?;
            let new = match mode {
                "increment" => old + step,
                "decrement" => old - step,
                "randomize" => (random.unit() * ((high - low) as f64 / step as f64)).floor() as i128 * step + low,
                _ => return None,
            };
            Some(integer(new.min(high).max(low)))
        }
        Kind::Float { min, max, step, .. } => {
            let reach = REACH as f64;
            let (low, high) = (min.unwrap_or(0.0).max(-reach), max.unwrap_or(reach).min(reach));
            let step = step.filter(|step| *step > 0.0).unwrap_or(FLOAT_STEP);
            let new = match mode {
                "increment" => value.as_f64()? + step,
                "decrement" => value.as_f64()? - step,
                "randomize" => (random.unit() * ((high - low) / step)).floor() * step + low,
                _ => return None,
            };
            Some(json!(new.min(high).max(low)))
        }
        kind @ Kind::Combo { .. } => {
            let filter = filter.to_lowercase();
            let mut options = kind.choices(context.folders);
            // A filter may be a regular expression between slashes, of which none is read here: such a value stays.
            if filter.len() > 1 && filter.starts_with('/') && filter.ends_with('/') {
                return None;
            }
            options.retain(|option| option.to_lowercase().contains(&filter));
            chosen(value, mode, &options, random).map(|option| json!(option))
        }
        _ => None,
    }
}

fn chosen<'a>(value: &Value, mode: &str, options: &'a [String], random: &mut Random) -> Option<&'a String> {
    let last = options.len().checked_sub(1)?;
    let at = options.iter().position(|option| value.as_str() == Some(option));
    let number = match mode {
        "increment" => at.map_or(0, |at| (at + 1).min(last)),
        "decrement" => at.map_or(0, |at| at.saturating_sub(1)),
        "increment-wrap" => at.map_or(0, |at| if at == last { 0 } else { at + 1 }),
        "randomize" => random.below(options.len()),
        _ => return None,
    };
    options.get(number)
}
