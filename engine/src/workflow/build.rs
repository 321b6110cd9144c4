//! From the file's raw form to graphs of nodes with roles, slots and widgets.

use std::collections::{HashMap, HashSet};

use petgraph::graph::DiGraph;
use serde_json::{Map, Value};

use super::bounds::{Allowance, MAX_DEPTH, MAX_NODES, too_deep, too_many, weight};
use super::graph::{Boundary, Graph, Graphs, INPUT_BOUNDARY, Location, Node, OUTPUT_BOUNDARY, Role, Widget};
use super::group::{self, Group};
use super::stored::Kept;
use super::types::{Context, ReadError, Remark, Severity};
use super::widgets::{self, Parts};
use super::{editions, old_widgets, replacements, subgraph, ui};
use crate::versions::Version;

const ALIAS: &str = "Node name for S&R";

/// What is known while the graphs are built.
struct Builder<'a> {
    context: &'a Context<'a>,
    /// The definitions of group nodes, by name.
    groups: Option<&'a Map<String, Value>>,
    /// The graphs of subgraphs, by the definition's id.
    subgraphs: HashMap<String, usize>,
    graphs: Graphs,
    /// Of the graph that is being built.
    remarks: Vec<Remark>,
    /// How many nodes may still be built, and how many bytes copied.
    nodes_left: usize,
    allowance: Allowance,
    /// The version that comes with the editor that saved the file.
    editor: Option<Version>,
}

/// Builds all graphs of a file.
///
/// # Errors
/// When a subgraph contains itself, or the file is larger than [`MAX_NODES`].
pub(super) fn build<'a>(file: &'a Value, context: &'a Context<'a>) -> Result<Graphs, ReadError> {
    let groups = file["extra"]["groupNodes"].as_object();
    let mut builder = Builder {
        context,
        groups,
        subgraphs: HashMap::new(),
        graphs: Graphs::default(),
        remarks: Vec::new(),
        nodes_left: MAX_NODES,
        allowance: Allowance::new(),
        editor: file["extra"]["frontendVersion"].as_str().and_then(Version::of_editor),
    };
    let definitions: Vec<_> =
        file["definitions"]["subgraphs"].as_array().into_iter().flatten().map(ui::Graph::read).collect();
    for place in children_first(&definitions)? {
        let definition = &definitions[place];
        let graph = builder.graph(definition, Some(Location::Subgraph(place)), 0)?;
        builder.subgraphs.insert(definition.id.clone(), builder.graphs.all.len());
        builder.graphs.all.push(graph);
    }
    let root = builder.graph(&ui::Graph::read(file), Some(Location::Root), 0)?;
    builder.graphs.all.push(root);
    Ok(builder.graphs)
}

/// The indices of the definitions, sorted so that each comes after those that it contains.
fn children_first(definitions: &[ui::Graph]) -> Result<Vec<usize>, ReadError> {
    let by_id: HashMap<&str, usize> = definitions.iter().enumerate().rev().map(|(i, d)| (d.id.as_str(), i)).collect();
    let mut contains = DiGraph::<usize, ()>::new();
    let places: Vec<_> = (0..definitions.len()).map(|place| contains.add_node(place)).collect();
    for (parent, definition) in definitions.iter().enumerate() {
        for child in definition.nodes.iter().filter_map(|node| by_id.get(node.class.as_str())) {
            contains.update_edge(places[*child], places[parent], ());
        }
    }
    match petgraph::algo::toposort(&contains, None) {
        Ok(order) => Ok(order
            .into_iter()
            .map(|place| contains[place])
            .filter(|i| by_id[definitions[*i].id.as_str()] == *i)
            .collect()),
        Err(cycle) => {
            let name = &definitions[contains[cycle.node_id()]].name;
            let text = format!("the subgraph `{}` contains itself: take the inner instance out", name.escape_debug());
            Err(ReadError::Graph(text))
        }
    }
}

impl Builder<'_> {
    fn graph(&mut self, raw: &ui::Graph, location: Option<Location>, depth: usize) -> Result<Graph, ReadError> {
        self.remarks.clear();
        let place = match location {
            Some(Location::Subgraph(_)) => format!("subgraph `{}`: ", raw.name.escape_debug()),
            _ => String::new(),
        };
        for problem in &raw.problems {
            self.remarks.push(Remark::general(Severity::Warning, format!("{place}{problem}")));
        }
        let nodes = raw.nodes.iter().map(|node| self.node(node, depth)).collect::<Result<_, _>>()?;
        let links = raw.links.iter().map(|(id, link)| (id.clone(), link.clone())).collect();
        let (mut graph, doubled) = Graph::new(nodes, links);
        for id in doubled {
            self.remarks.push(Remark::warning(&id, format!("{place}a second node has this id; it is left out")));
        }
        graph.inputs = boundary(&raw.inputs, raw, |link| (link.origin == INPUT_BOUNDARY).then_some(link.origin_slot));
        graph.outputs = boundary(&raw.outputs, raw, |link| {
            let slot = usize::try_from(link.target_slot?).ok()?;
            (link.target == OUTPUT_BOUNDARY).then_some(slot)
        });
        graph.find_templates();
        graph.name.clone_from(&raw.name);
        graph.location = location;
        graph.remarks = std::mem::take(&mut self.remarks);
        Ok(graph)
    }

    /// One node; a group node brings its own graph.
    fn node(&mut self, raw: &ui::Node, depth: usize) -> Result<Node, ReadError> {
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or_else(too_many)?;
        if let Some(&graph) = self.subgraphs.get(&raw.class) {
            let inner = &self.graphs.all[graph];
            let parts = subgraph::instance(inner, raw, &mut self.allowance, &mut self.remarks)?;
            return Ok(assemble(raw, Role::Instance(graph), parts, Some(inner.name.clone())));
        }
        if let Some(definition) = group::definition(&raw.class, self.groups) {
            if depth > MAX_DEPTH {
                return Err(too_deep("group nodes"));
            }
            self.allowance.spend(weight(definition))?;
            let group = Group::read(definition, raw);
            let outside = std::mem::take(&mut self.remarks);
            let nodes = group.members().iter().map(|member| self.node(member, depth + 1)).collect::<Result<_, _>>()?;
            let inside = std::mem::replace(&mut self.remarks, outside);
            let (mut graph, parts) = group.expand(nodes, raw, &mut self.remarks);
            graph.remarks = inside;
            self.allowance.spend(parts.weight())?;
            self.graphs.all.push(graph);
            return Ok(assemble(raw, Role::Instance(self.graphs.all.len() - 1), parts, None));
        }
        let renamed = replacements::in_node(raw, &mut self.remarks);
        let schema = self.context.schemas.schema(&renamed.class);
        let renamed = if schema.is_some() { old_widgets::in_node(renamed) } else { renamed };
        let (raw, class) = (renamed.as_ref(), renamed.class.as_str());
        let role = match class {
            "Reroute" => Role::Reroute,
            "PrimitiveNode" => Role::Primitive,
            "Note" | "MarkdownNote" => Role::Note,
            _ if schema.is_some() => Role::Real,
            _ => editors_own(class),
        };
        if role != Role::Real {
            return Ok(assemble(raw, role, virtual_parts(raw), None));
        }
        let Some(schema) = schema else {
            self.report_unknown(raw);
            return Ok(assemble(raw, role, widgets::unknown(raw), None));
        };
        let saved_by = editions::named(raw, self.editor);
        let parts = widgets::known(schema, raw, saved_by, self.context, &mut self.remarks);
        self.allowance.spend(parts.weight())?;
        let mut node = assemble(raw, role, parts, Some(schema.display_name.clone()));
        node.known = true;
        Ok(node)
    }

    fn report_unknown(&mut self, raw: &ui::Node) {
        if raw.mode == 2 || raw.mode == 4 {
            return;
        }
        let count = match &raw.widgets {
            _ if raw.named.is_object() => 0,
            Value::Array(values) => values.len(),
            Value::Object(values) => values.len(),
            _ => 0,
        };
        let class = raw.class.escape_debug();
        let looks_like_id = raw.class.len() == 36 && raw.class.bytes().filter(|b| *b == b'-').count() == 4;
        let mut text = if looks_like_id {
            format!("the file lacks the definition of the subgraph `{class}`: its links are kept")
        } else {
            format!("the class `{class}` is not known: its links are kept")
        };
        if count > 0 {
            text.push_str(&format!(", but its {count} saved values have no names"));
        }
        self.remarks.push(Remark::warning(&raw.id, text));
    }
}

fn assemble(raw: &ui::Node, role: Role, parts: Parts, default_title: Option<String>) -> Node {
    Node {
        id: raw.id.clone(),
        place: raw.place,
        class: raw.class.clone(),
        known: false,
        role,
        mode: raw.mode.into(),
        title: raw.title.clone().or(default_title),
        alias: raw.properties[ALIAS].as_str().map(str::to_owned),
        inputs: parts.inputs,
        outputs: parts.outputs,
        widgets: parts.widgets,
        replaces: raw.properties["Run widget replace on values"].as_bool().unwrap_or(false),
        renumbered: parts.renumbered,
    }
}

/// The parts of a node that never runs (a primitive, a note): its slots as saved, and its values; the first value is
/// the primitive's or the text.
fn virtual_parts(raw: &ui::Node) -> Parts {
    let mut parts = Parts::default();
    widgets::link(&mut parts, raw, false, &mut Vec::new());
    parts.outputs = widgets::outputs([].into_iter(), raw);
    let names = ["value", "control_after_generate", "control_filter_list"];
    for (place, (name, value)) in names.into_iter().zip(raw.widgets.as_array().into_iter().flatten()).enumerate() {
        parts.widgets.push(Widget {
            name: name.into(),
            value: Some(value.clone()),
            saved: true,
            controls: place > 0,
            stored: Some(Kept { place: Some(place), name: None }),
            ..Widget::default()
        });
    }
    parts
}

/// The slots of a boundary. If a slot does not list its links, they are found by the slot's number.
fn boundary(slots: &[ui::Boundary], raw: &ui::Graph, end: impl Fn(&ui::Link) -> Option<usize>) -> Vec<Boundary> {
    let mut found: HashMap<usize, Vec<String>> = HashMap::new();
    for (id, link) in &raw.links {
        if let Some(slot) = end(link) {
            found.entry(slot).or_default().push(id.clone());
        }
    }
    let each = slots.iter().enumerate().map(|(slot, raw)| {
        let mut links = raw.links.clone().or_else(|| found.remove(&slot)).unwrap_or_default();
        let mut seen = HashSet::new();
        links.retain(|link| seen.insert(link.clone()));
        Boundary { name: raw.name.clone(), ty: raw.ty.clone(), links, template: None }
    });
    each.collect()
}

/// The role of a class of a pack that exists in the editor alone, or is only there for it.
fn editors_own(class: &str) -> Role {
    match class {
        "SetNode" | "easy setNode" => Role::SetNode,
        "GetNode" | "easy getNode" => Role::GetNode,
        "Reroute (rgthree)" => Role::Reroute,
        // Its links are in `extra.ue_links`, and carry its number.
        "Seed Everywhere" => Role::Primitive,
        "Anything Everywhere" | "Anything Everywhere?" | "Anything Everywhere3" | "Prompts Everywhere" => Role::Note,
        "Bookmark (rgthree)"
        | "Label (rgthree)"
        | "Fast Muter (rgthree)"
        | "Fast Bypasser (rgthree)"
        | "Fast Groups Muter (rgthree)"
        | "Fast Groups Bypasser (rgthree)"
        | "Fast Actions Button (rgthree)"
        | "Mute / Bypass Relay (rgthree)"
        | "Mute / Bypass Repeater (rgthree)"
        | "Random Unmuter (rgthree)"
        | "Node Collector (rgthree)"
        | "Node Combiner (rgthree)"
        | "Note Plus (mtb)"
        | "LabelNode"
        | "Label" => Role::Note,
        _ => Role::Real,
    }
}
