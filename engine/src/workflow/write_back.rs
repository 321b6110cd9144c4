//! Inputs that are set from outside, written into the editor's form where the conversion takes them from: the widget itself, the
//! primitive that feeds it, or the instance that promotes it. Whether that is exact is not guessed: the file is converted again.

use serde_json::{Value, json};

use super::advance;
use super::convert::{Assembled, Converted, assemble, converted};
use super::emission::Settings;
use super::graph::{Location, Node, Role};
use super::resolve::{Origin, Resolver};
use super::stored::Kept;
use super::types::{Context, Override, ReadError};
use super::ui;
use crate::prompt::{Given, NodeId};

/// How many inputs are tried one by one where they cannot be written all at once.
const TRIED: usize = 64;

/// A file with inputs set.
pub(super) struct Written {
    pub(super) file: Value,
    /// The places in the list of those that no widget can hold without changing something else.
    pub(super) left: Vec<usize>,
}

/// Writes as many of the inputs into the file as it can hold.
///
/// # Errors
/// When the file cannot be expanded; see [`super::read`].
pub(super) fn write(file: &Value, overrides: &[Override], context: &Context<'_>) -> Result<Written, ReadError> {
    let before = converted(file, context, &Settings::default())?;
    let firsts = ways(file, overrides, context)?;
    if firsts.iter().all(|ways| !ways.is_empty()) {
        let mut all = file.clone();
        firsts.iter().filter_map(|ways| ways.first()).for_each(|way| way.apply(&mut all));
        let set: Vec<_> = overrides.iter().collect();
        if holds(&all, &before, &set, context) {
            return Ok(Written { file: all, left: Vec::new() });
        }
    }
    let mut written = Written { file: file.clone(), left: Vec::new() };
    let mut set: Vec<&Override> = Vec::new();
    for (place, wanted) in overrides.iter().enumerate() {
        set.push(wanted);
        let ways = if place < TRIED { ways(&written.file, std::slice::from_ref(wanted), context)? } else { Vec::new() };
        let exact = ways.into_iter().flatten().find_map(|way| {
            let mut attempt = written.file.clone();
            way.apply(&mut attempt);
            holds(&attempt, &before, &set, context).then_some(attempt)
        });
        match exact {
            Some(attempt) => written.file = attempt,
            None => {
                set.pop();
                written.left.push(place);
            }
        }
    }
    Ok(written)
}

/// Leaves a remark in the file of what it could not hold, where the editor keeps it and no node sees it.
pub(super) fn remark(file: &mut Value, left: &[&Override]) {
    let Some(fields) = file.as_object_mut().filter(|_| !left.is_empty()) else { return };
    let extra = fields.entry("extra").or_insert_with(|| json!({}));
    let Some(extra) = extra.as_object_mut() else { return };
    let each = left.iter().map(|wanted| (format!("{}.{}", wanted.node, wanted.input), wanted.value.clone()));
    let remark = "redraft ran this workflow with these inputs, which its widgets cannot hold: they show other values";
    extra.insert("redraft".into(), json!({ "remark": remark, "inputs": Value::Object(each.collect()) }));
}

/// Whether the file now says what is wanted, and nothing else is changed.
fn holds(file: &Value, before: &Converted, set: &[&Override], context: &Context<'_>) -> bool {
    let Ok(after) = converted(file, context, &Settings::default()) else { return false };
    let (old, new) = (&before.workflow.prompt.nodes, &after.workflow.prompt.nodes);
    let raw = |converted: &Converted, id: &NodeId, input: &str, given: &Given| {
        let text = converted.raw.get(&(id.clone(), input.to_owned()));
        text.map_or_else(|| given.clone(), |text| Given::Constant(text.clone()))
    };
    let wanted = |id: &NodeId, input: &str| set.iter().rev().find(|set| set.node == *id && set.input == input);
    old.len() == new.len()
        && old.iter().all(|(id, node)| {
            let Some(other) = new.get(id) else { return false };
            // A choice may bring other inputs.
            let chosen = set.iter().any(|set| set.node == *id);
            let same = node.inputs.iter().all(|(input, given)| match (wanted(id, input), other.inputs.get(input)) {
                (Some(_), _) => true,
                (None, Some(now)) => raw(before, id, input, given) == raw(&after, id, input, now),
                (None, None) => chosen,
            });
            same && (chosen || node.inputs.len() == other.inputs.len())
        })
        && set.iter().all(|set| {
            let given = new.get(&set.node).and_then(|node| node.inputs.get(&set.input));
            let wanted = wanted(&set.node, &set.input).map_or(&set.value, |last| &last.value);
            given.is_some_and(|given| raw(&after, &set.node, &set.input, given) == Given::Constant(wanted.clone()))
        })
}

/// Changes of the file that set one input.
struct Way(Vec<Edit>);

enum Edit {
    /// A widget's value.
    Set {
        graph: Location,
        node: usize,
        name: String,
        kept: Option<Kept>,
        value: Value,
        /// All that the node then saves, for a file that does not hold the value yet.
        list: Vec<Value>,
    },
    /// Takes the link off an input.
    Unlink { graph: Location, node: usize, input: String, link: String },
}

/// For each input, the ways in which it can be set, the one with the fewest effects first.
fn ways(file: &Value, overrides: &[Override], context: &Context<'_>) -> Result<Vec<Vec<Way>>, ReadError> {
    let Assembled { graphs, flat, .. } = assemble(file, context)?;
    let mut resolver = Resolver::new(&graphs, &flat.scopes, &flat.inner);
    let mut found = Vec::new();
    let by_id: std::collections::HashMap<String, (usize, usize)> =
        flat.leaves.iter().map(|&(scope, node)| (resolver.id(scope, node), (scope, node))).collect();
    for wanted in overrides {
        let leaf = by_id.get(wanted.node.as_str());
        found.push(match leaf {
            Some(&(scope, node)) => of_leaf(&mut resolver, scope, node, wanted)?,
            None => Vec::new(),
        });
    }
    Ok(found)
}

fn of_leaf(resolver: &mut Resolver<'_>, scope: usize, node: usize, wanted: &Override) -> Result<Vec<Way>, ReadError> {
    let leaf = &resolver.graph(scope).nodes[node];
    let own = leaf.widgets.iter().position(|widget| widget.sent && widget.name == wanted.input);
    let linked = leaf.inputs.iter().position(|slot| slot.name == wanted.input && slot.link.is_some());
    let own = own.and_then(|widget| set(resolver, (scope, node, widget), &wanted.value));
    let Some(slot) = linked else { return Ok(own.map(|own| Way(vec![own])).into_iter().collect()) };
    let mut ways = Vec::new();
    let (origin, fallback) = resolver.input(scope, node, slot)?;
    let promoted = match (origin, fallback) {
        (Origin::Widget(scope, node, widget), _) | (_, Some(Origin::Widget(scope, node, widget))) => {
            Some((scope, node, widget))
        }
        _ => None,
    };
    if let Some(outer) = promoted {
        ways.extend(set(resolver, outer, &wanted.value).map(|edit| Way(vec![edit])));
        let (scope, node, widget) = outer;
        let slot = resolver.graph(scope).nodes[node].inputs.iter().position(|slot| slot.widget == Some(widget));
        if let Some(slot) = slot {
            ways.extend(primitive(resolver, scope, node, slot, &wanted.value));
        }
    }
    ways.extend(primitive(resolver, scope, node, slot, &wanted.value));
    let unlinked = unlink(resolver, scope, node, slot);
    ways.extend(own.zip(unlinked).map(|(own, unlinked)| Way(vec![own, unlinked])));
    Ok(ways)
}

/// Sets the primitive that feeds an input, if one does.
fn primitive(resolver: &Resolver<'_>, scope: usize, node: usize, slot: usize, value: &Value) -> Option<Way> {
    let graph = resolver.graph(scope);
    let link = graph.links.get(graph.nodes[node].inputs[slot].link.as_ref()?)?;
    let &origin = graph.by_id.get(&link.origin)?;
    let feeds = graph.nodes[origin].role == Role::Primitive && !graph.nodes[origin].widgets.is_empty();
    feeds.then(|| set(resolver, (scope, origin, 0), value)).flatten().map(|edit| Way(vec![edit]))
}

fn set(resolver: &Resolver<'_>, (scope, node, widget): (usize, usize, usize), value: &Value) -> Option<Edit> {
    let graph = resolver.graph(scope);
    let node: &Node = &graph.nodes[node];
    let saved = node.widgets.iter().enumerate().filter(|(number, saved)| saved.saved || *number == widget);
    let list = saved.map(
        |(number, saved)| {
            if number == widget { value.clone() } else { saved.value.clone().unwrap_or_default() }
        },
    );
    let Node { place, .. } = *node;
    let list = list.collect();
    let (name, kept) = (node.widgets[widget].name.clone(), node.widgets[widget].stored.clone());
    Some(Edit::Set { graph: graph.location?, node: place, name, kept, value: value.clone(), list })
}

fn unlink(resolver: &Resolver<'_>, scope: usize, node: usize, slot: usize) -> Option<Edit> {
    let graph = resolver.graph(scope);
    let node = &graph.nodes[node];
    let slot = &node.inputs[slot];
    let link = slot.link.clone()?;
    Some(Edit::Unlink { graph: graph.location?, node: node.place, input: slot.name.clone(), link })
}

impl Way {
    fn apply(&self, file: &mut Value) {
        self.0.iter().for_each(|edit| edit.apply(file));
    }
}

impl Edit {
    fn apply(&self, file: &mut Value) {
        match self {
            Self::Set { graph, node, kept: Some(kept), value, .. } => {
                advance::write(file, *graph, *node, kept, value.clone())
            }
            Self::Set { graph, node, name, kept: None, value, list } => {
                let Some(node) = advance::node(file, *graph, *node).and_then(Value::as_object_mut) else { return };
                if let Some(named) = node.get_mut("widgets_values_named").and_then(Value::as_object_mut) {
                    named.insert(name.clone(), value.clone());
                }
                match node.get_mut("widgets_values") {
                    Some(Value::Object(named)) => drop(named.insert(name.clone(), value.clone())),
                    // Values behind the last widget stay.
                    Some(Value::Array(values)) => {
                        let tail = values.split_off(values.len().min(list.len()));
                        *values = list.iter().cloned().chain(tail).collect();
                    }
                    _ => drop(node.insert("widgets_values".into(), Value::Array(list.clone()))),
                }
            }
            Self::Unlink { graph, node, input, link } => {
                let linked = |value: &Value| ui::id(value).as_deref() == Some(link.as_str());
                let Some(inside) = advance::graph(file, *graph) else { return };
                if let Some(links) = inside.get_mut("links").and_then(Value::as_array_mut) {
                    links.retain(|entry| !linked(&entry[0]) && !linked(&entry["id"]));
                }
                let boundary = inside.get_mut("inputs").and_then(Value::as_array_mut).into_iter().flatten();
                for ids in boundary.filter_map(|slot| slot.get_mut("linkIds").and_then(Value::as_array_mut)) {
                    ids.retain(|id| !linked(id));
                }
                let nodes = inside.get_mut("nodes").and_then(Value::as_array_mut).into_iter().flatten();
                for (place, entry) in nodes.enumerate() {
                    let outputs = entry.get_mut("outputs").and_then(Value::as_array_mut).into_iter().flatten();
                    for ids in outputs.filter_map(|output| output.get_mut("links").and_then(Value::as_array_mut)) {
                        ids.retain(|id| !linked(id));
                    }
                    let inputs = entry.get_mut("inputs").and_then(Value::as_array_mut).into_iter().flatten();
                    for slot in inputs.filter(|slot| place == *node && slot["name"] == input.as_str()) {
                        slot["link"] = Value::Null;
                    }
                }
            }
        }
    }
}
