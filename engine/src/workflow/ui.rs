//! The editor's form as it is written in the file, not yet interpreted.
//!
//! Read by hand and not by derived code, because files of many ages and authors differ: ids and slots are numbers or
//! strings, links arrays or objects, types strings or lists, and any field may be absent.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::{Map, Value};

/// How many unreadable entries of a graph are told of.
const MAX_PROBLEMS: usize = 50;

/// A graph: the root, or the inside of a subgraph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
    pub(super) links: IndexMap<String, Link>,
    /// The slots of a subgraph's boundary.
    pub(super) inputs: Vec<Boundary>,
    pub(super) outputs: Vec<Boundary>,
    /// What could not be read, in words.
    pub(super) problems: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// The place in the file's array.
    pub(super) place: usize,
    pub(super) id: String,
    pub(super) class: String,
    pub(super) mode: i64,
    pub(super) title: Option<String>,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Output>,
    /// `null` where absent.
    pub(super) widgets: Value,
    /// The same by name, as editors since 2026 write them beside; `null` where absent.
    pub(super) named: Value,
    /// `null` where absent.
    pub(super) properties: Value,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) ty: String,
    pub(super) link: Option<String>,
    pub(super) widget: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Output {
    pub(super) ty: String,
    pub(super) links: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) origin: String,
    pub(super) origin_slot: usize,
    pub(super) target: String,
    pub(super) target_slot: Option<i64>,
}

#[derive(Clone, Debug)]
pub(super) struct Boundary {
    pub(super) name: String,
    pub(super) ty: String,
    /// `None` where the file does not list them.
    pub(super) links: Option<Vec<String>>,
}

impl Graph {
    pub(super) fn read(graph: &Value) -> Self {
        let mut read = Self { id: id(&graph["id"]).unwrap_or_default(), name: text(&graph["name"]), ..Self::default() };
        for (place, entry) in items(&graph["nodes"]).enumerate() {
            match node(entry, place) {
                Ok(node) => read.nodes.push(node),
                Err(problem) => read.problem(|| format!("entry {place} of `nodes` {problem}; it is left out")),
            }
        }
        for (place, entry) in items(&graph["links"]).enumerate() {
            match link(entry) {
                Some((id, link)) => {
                    read.links.insert(id, link);
                }
                None if entry.is_null() => {}
                None => read.problem(|| format!("entry {place} of `links` is no link; it is left out")),
            }
        }
        read.inputs = items(&graph["inputs"]).map(boundary).collect();
        read.outputs = items(&graph["outputs"]).map(boundary).collect();
        read.wireless(&graph["extra"]["ue_links"]);
        read
    }

    /// The links that use-everywhere made when the file was saved: as if they were drawn, where nothing else is.
    fn wireless(&mut self, links: &Value) {
        let senders = |class: &str| class.ends_with(" Everywhere") || class.starts_with("Anything Everywhere");
        if links.is_null() && self.nodes.iter().any(|node| senders(&node.class) && node.mode != 2 && node.mode != 4) {
            let text =
                "nodes send values everywhere, but the file does not say where: save it again with use-everywhere";
            self.problem(|| text.to_owned());
        }
        let place: HashMap<String, usize> =
            self.nodes.iter().enumerate().rev().map(|(place, node)| (node.id.clone(), place)).collect();
        let slot = |value: &Value| integer(value).and_then(|slot| usize::try_from(slot).ok());
        for (number, entry) in items(links).enumerate() {
            let sender = id(&entry["controller"]).and_then(|id| place.get(&id));
            if sender.is_some_and(|sender| matches!(self.nodes[*sender].mode, 2 | 4)) {
                continue;
            }
            let (Some(origin), Some(target)) = (id(&entry["upstream"]), id(&entry["downstream"])) else { continue };
            let (Some(origin_slot), Some(target_slot)) =
                (slot(&entry["upstream_slot"]), slot(&entry["downstream_slot"]))
            else {
                continue;
            };
            let Some(&to) = place.get(&target) else { continue };
            let Some(input) = self.nodes[to].inputs.get_mut(target_slot).filter(|input| input.link.is_none()) else {
                continue;
            };
            let link_id = format!("everywhere {number}");
            input.link = Some(link_id.clone());
            let output = place.get(&origin).and_then(|from| self.nodes[*from].outputs.get_mut(origin_slot));
            output.into_iter().for_each(|output| output.links.push(link_id.clone()));
            let target_slot = i64::try_from(target_slot).ok();
            self.links.insert(link_id, Link { origin, origin_slot, target, target_slot });
        }
    }

    /// Notes a problem, until there are more than anybody reads.
    fn problem(&mut self, words: impl FnOnce() -> String) {
        match self.problems.len() {
            ..MAX_PROBLEMS => self.problems.push(words()),
            MAX_PROBLEMS => self.problems.push("more of the file's entries are left out".to_owned()),
            _ => {}
        }
    }
}

fn node(entry: &Value, place: usize) -> Result<Node, &'static str> {
    let fields = entry.as_object().ok_or("is no object")?;
    let class = fields.get("type").and_then(Value::as_str).ok_or("has no `type`")?;
    Ok(Node {
        place,
        id: id(&entry["id"]).ok_or("has no `id`")?,
        class: class.to_owned(),
        mode: integer(&entry["mode"]).unwrap_or(0),
        title: entry["title"].as_str().map(str::to_owned),
        inputs: items(&entry["inputs"]).map(input).collect(),
        outputs: items(&entry["outputs"]).map(output).collect(),
        widgets: entry["widgets_values"].clone(),
        named: entry["widgets_values_named"].clone(),
        properties: entry["properties"].clone(),
    })
}

/// A node of a group node's definition, which has no id: its place stands for it.
pub(super) fn group_member(entry: &Value, place: usize) -> Node {
    let mut fields = entry.as_object().cloned().unwrap_or_default();
    fields.insert("id".into(), place.into());
    fields.entry("type").or_insert_with(|| "".into());
    node(&Value::Object(fields), place).unwrap_or_default()
}

fn input(entry: &Value) -> Input {
    Input {
        name: text(&entry["name"]),
        ty: type_name(&entry["type"]),
        link: id(&entry["link"]),
        widget: entry["widget"]["name"].as_str().map(str::to_owned),
    }
}

fn output(entry: &Value) -> Output {
    Output { ty: type_name(&entry["type"]), links: items(&entry["links"]).filter_map(id).collect() }
}

fn boundary(entry: &Value) -> Boundary {
    let links = entry["linkIds"].as_array().map(|links| links.iter().filter_map(id).collect());
    Boundary { name: text(&entry["name"]), ty: type_name(&entry["type"]), links }
}

/// `[id, origin, slot, target, slot, type]`, or the same by name; both occur in files of either schema.
fn link(entry: &Value) -> Option<(String, Link)> {
    let part = |place: usize, name: &str| match entry {
        Value::Array(parts) => parts.get(place).unwrap_or(&Value::Null),
        other => &other[name],
    };
    let origin_slot = integer(part(2, "origin_slot")).and_then(|slot| usize::try_from(slot).ok())?;
    let target_slot = integer(part(4, "target_slot"));
    let link = Link { origin: id(part(1, "origin_id"))?, origin_slot, target: id(part(3, "target_id"))?, target_slot };
    Some((id(part(0, "id"))?, link))
}

/// An id, be it a number or a string.
pub(super) fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => Some(format!("{float:.0}")),
            _ => Some(number.to_string()),
        },
        _ => None,
    }
}

/// A whole number, be it written as a number or as a string.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_i64().or_else(|| other.as_f64().filter(|v| v.fract() == 0.0).map(|v| v as i64)),
    }
}

/// A slot's type: a name, the list of a combo's options in old files, or a number for events and wildcards.
fn type_name(value: &Value) -> String {
    match value {
        Value::String(name) => name.clone(),
        Value::Array(_) => "COMBO".to_owned(),
        Value::Number(number) if number.as_i64() != Some(0) => number.to_string(),
        _ => "*".to_owned(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The elements of an array, or of an object with numbered keys, as some old files have it.
fn items(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(items) => Box::new(Map::values(items)),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_the_shape_it_is_read() {
        let graph = Graph::read(&json!({
            "nodes": [
                {"id": "7", "type": "A", "inputs": [{"name": "x", "type": ["a", "b"], "link": 3, "widget": {"name": "x"}}]},
                {"id": 8.0, "type": "B", "mode": "4", "outputs": [{"type": 0, "links": [3, "4", null]}]},
                null, {"id": 9}, {"type": "C"},
            ],
            "links": [[3, "7", "1", 8, 0, "T"], {"id": "4", "origin_id": -10, "origin_slot": 0, "target_id": 7}, null, 5,
                [6, 7, -1, 8, 0, "T"]],
        }));
        assert_eq!(graph.nodes.len(), 2);
        assert_eq!(graph.nodes[0].inputs[0].ty, "COMBO");
        assert_eq!(graph.nodes[0].inputs[0].link.as_deref(), Some("3"));
        assert_eq!((graph.nodes[1].id.as_str(), graph.nodes[1].mode), ("8", 4));
        assert_eq!(graph.nodes[1].outputs[0].links, ["3", "4"]);
        assert_eq!(graph.links["3"].origin_slot, 1);
        assert_eq!(graph.links["4"].origin, "-10");
        assert_eq!(
            graph.problems,
            [
                "entry 2 of `nodes` is no object; it is left out",
                "entry 3 of `nodes` has no `type`; it is left out",
                "entry 4 of `nodes` has no `id`; it is left out",
                "entry 3 of `links` is no link; it is left out",
                "entry 4 of `links` is no link; it is left out",
            ]
        );
    }
}
