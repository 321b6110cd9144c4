//! Group nodes, the predecessor of subgraphs. Their inputs and widgets are nowhere written down: they follow from the
//! nodes inside. Each group node becomes a graph of its own with a boundary, and is from then on a subgraph's instance.
//!
//! Frontend 1.35.9 expands these wrongly (it loses inputs behind reroutes, and shifts values where a class gained a
//! widget); this follows the frontends that wrote such files.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::graph::{Boundary, Graph, INPUT_BOUNDARY, Node, OUTPUT_BOUNDARY, Output, Role, Slot, Widget};
use super::types::Remark;
use super::ui;
use super::widgets::Parts;

/// The definition of the group that a class names, `workflow>NAME` or `workflow/NAME`.
pub(super) fn definition<'a>(class: &str, groups: Option<&'a Map<String, Value>>) -> Option<&'a Value> {
    let name = class.strip_prefix("workflow>").or_else(|| class.strip_prefix("workflow/"))?;
    groups?.get(name)
}

/// A group node's definition, read for one node of it.
pub(super) struct Group<'a> {
    definition: &'a Value,
    members: Vec<ui::Node>,
    wiring: Wiring,
}

impl<'a> Group<'a> {
    pub(super) fn read(definition: &'a Value, raw: &ui::Node) -> Self {
        let members = definition["nodes"].as_array().map_or(&[][..], |members| members);
        let mut members: Vec<_> =
            members.iter().enumerate().map(|(place, entry)| ui::group_member(entry, place)).collect();
        let wiring = Wiring::read(definition, &mut members);
        if raw.mode == 2 || raw.mode == 4 {
            // The nodes inside do not carry the group's mode.
            members.iter_mut().for_each(|member| member.mode = 2);
        }
        Self { definition, members, wiring }
    }

    /// The nodes inside, as the file has them.
    pub(super) fn members(&self) -> &[ui::Node] {
        &self.members
    }

    /// The graph inside, of the members' nodes, and the slots and widgets that the group node shows of it.
    pub(super) fn expand(self, mut nodes: Vec<Node>, raw: &ui::Node, remarks: &mut Vec<Remark>) -> (Graph, Parts) {
        let Self { definition, members, wiring } = self;
        let mut interface =
            Interface { definition, members: &members, wiring, seen: HashMap::new(), found: Found::default() };
        interface.collect(&nodes);
        let Found { sockets, converted, widgets, outputs } = interface.found;
        let mut links = interface.wiring.links;
        let mut graph_inputs = Vec::new();
        let mut parts = Parts::default();
        let saved: HashMap<&str, &ui::Input> = raw.inputs.iter().rev().map(|i| (i.name.as_str(), i)).collect();
        let mut open = |entry: Open, widget: Option<usize>, nodes: &mut [Node], parts: &mut Parts| {
            let id = format!("in {}", graph_inputs.len());
            nodes[entry.node].inputs[entry.slot].link = Some(id.clone());
            links.insert(id.clone(), link(INPUT_BOUNDARY, graph_inputs.len(), &entry.node.to_string()));
            let saved = saved.get(entry.name.as_str()).and_then(|input| input.link.clone());
            graph_inputs.push(Boundary {
                name: entry.name.clone(),
                ty: entry.ty.clone(),
                links: vec![id],
                template: None,
            });
            parts.inputs.push(Slot { name: entry.name, ty: entry.ty, link: saved, widget });
        };
        for entry in sockets.into_iter().chain(converted) {
            open(entry, None, &mut nodes, &mut parts);
        }
        let mut values = raw.widgets.as_array().into_iter().flatten();
        for outer in widgets {
            let saved = values.next().cloned();
            let inner = &mut nodes[outer.node].widgets[outer.widget];
            inner.value = saved.or(inner.value.take());
            let widget = Widget { name: outer.name.clone(), sent: false, stored: None, ..inner.clone() };
            parts.widgets.push(widget);
            if let Some(slot) = outer.slot {
                let ty = nodes[outer.node].inputs[slot].ty.clone();
                let entry = Open { node: outer.node, slot, name: outer.name, ty };
                open(entry, Some(parts.widgets.len() - 1), &mut nodes, &mut parts);
            }
        }
        report_left(values, raw, remarks);
        report_lost(&parts, raw, remarks);
        let mut graph_outputs = Vec::new();
        for (node, slot, ty) in outputs {
            let id = format!("out {}", graph_outputs.len());
            links.insert(id.clone(), link(&node.to_string(), slot, OUTPUT_BOUNDARY));
            let links = raw.outputs.get(graph_outputs.len()).map(|output| output.links.clone()).unwrap_or_default();
            parts.outputs.push(Output { ty: ty.clone(), links });
            graph_outputs.push(Boundary { name: String::new(), ty, links: vec![id], template: None });
        }
        let (mut graph, _) = Graph::new(nodes, links);
        graph.name.clone_from(&raw.class);
        graph.inputs = graph_inputs;
        graph.outputs = graph_outputs;
        (graph, parts)
    }
}

fn link(origin: &str, origin_slot: usize, target: &str) -> ui::Link {
    ui::Link { origin: origin.to_owned(), origin_slot, target: target.to_owned(), target_slot: None }
}

fn report_left<'a>(left: impl Iterator<Item = &'a Value>, raw: &ui::Node, remarks: &mut Vec<Remark>) {
    let count = left.filter(|value| !value.is_null()).count();
    if count > 0 {
        let text = format!("`{}` has no widgets for the last {count} of its saved values", raw.class);
        remarks.push(Remark::warning(&raw.id, text));
    }
}

fn report_lost(parts: &Parts, raw: &ui::Node, remarks: &mut Vec<Remark>) {
    let names: HashSet<&str> = parts.inputs.iter().map(|slot| slot.name.as_str()).collect();
    for input in raw.inputs.iter().filter(|i| i.link.is_some() && !names.contains(i.name.as_str())) {
        let text = format!("the group `{}` has no input `{}`: its link is left out", raw.class, input.name);
        remarks.push(Remark::warning(&raw.id, text));
    }
}

/// The links between a group's nodes.
#[derive(Default)]
struct Wiring {
    links: HashMap<String, ui::Link>,
    /// The type of what leaves an output, by node and slot.
    from: HashMap<(usize, usize), String>,
    /// The outputs that are used outside as well.
    external: HashSet<(usize, usize)>,
}

impl Wiring {
    /// Reads the links, and writes them into the members' inputs, whose own are left from before the grouping.
    fn read(definition: &Value, members: &mut [ui::Node]) -> Self {
        let mut wiring = Self::default();
        for member in members.iter_mut() {
            member.inputs.iter_mut().for_each(|input| input.link = None);
            member.outputs.iter_mut().for_each(|output| output.links.clear());
        }
        let place = |value: &Value| usize::try_from(ui::integer(value)?).ok();
        for (number, entry) in definition["links"].as_array().into_iter().flatten().enumerate() {
            // A link without a source comes from outside of the group.
            let Some(origin) = place(&entry[0]).filter(|origin| *origin < members.len()) else { continue };
            let (Some(origin_slot), Some(target), Some(slot)) = (place(&entry[1]), place(&entry[2]), place(&entry[3]))
            else {
                continue;
            };
            let Some(input) = members.get_mut(target).and_then(|member| member.inputs.get_mut(slot)) else { continue };
            let id = number.to_string();
            input.link = Some(id.clone());
            let ty = entry[5].as_str().unwrap_or(&input.ty).to_owned();
            if let Some(output) = members[origin].outputs.get_mut(origin_slot) {
                output.links.push(id.clone());
            }
            wiring.links.insert(id, link(&origin.to_string(), origin_slot, &target.to_string()));
            wiring.from.entry((origin, origin_slot)).or_insert(ty);
        }
        for entry in definition["external"].as_array().into_iter().flatten() {
            // In real files the first part may be a whole node, not its index.
            let node = place(&entry[0]).or_else(|| place(&entry[0]["index"]));
            wiring.external.extend(node.zip(place(&entry[1])));
        }
        wiring
    }
}

/// An inner input that the group shows.
struct Open {
    node: usize,
    slot: usize,
    name: String,
    ty: String,
}

/// An inner widget that the group shows.
struct OuterWidget {
    node: usize,
    widget: usize,
    slot: Option<usize>,
    name: String,
}

#[derive(Default)]
struct Found {
    sockets: Vec<Open>,
    /// Inputs that were converted from widgets; they come last.
    converted: Vec<Open>,
    widgets: Vec<OuterWidget>,
    /// Node, slot and type.
    outputs: Vec<(usize, usize, String)>,
}

/// Derives what a group shows from the nodes in it.
struct Interface<'a> {
    definition: &'a Value,
    members: &'a [ui::Node],
    wiring: Wiring,
    /// How often a name was used.
    seen: HashMap<String, usize>,
    found: Found,
}

impl Interface<'_> {
    fn collect(&mut self, nodes: &[Node]) {
        let mut late = Vec::new();
        for (place, node) in nodes.iter().enumerate() {
            match node.role {
                Role::Reroute => self.reroute(place, node),
                Role::Primitive => self.primitive(place, node),
                Role::Note | Role::SetNode | Role::GetNode => {}
                Role::Real | Role::Instance(_) => {
                    late.extend(self.node(place, node).into_iter().map(|slot| (place, slot)))
                }
            }
            self.outputs(place, node);
        }
        for (place, slot) in late {
            let entry = self.open(place, &nodes[place], slot);
            self.found.converted.push(entry);
        }
    }

    /// The widgets and sockets of a node; returns the slots that come last.
    fn node(&mut self, place: usize, node: &Node) -> Vec<usize> {
        let slots: HashMap<usize, usize> =
            node.inputs.iter().enumerate().filter_map(|(slot, input)| Some((input.widget?, slot))).collect();
        let converted = self.converted(place, node);
        let stored = node.widgets.iter().any(|widget| widget.stored.is_some());
        let mut hidden = false;
        for (number, widget) in node.widgets.iter().enumerate() {
            let slot = slots.get(&number).copied();
            if !widget.controls {
                let input = slot.map(|slot| &node.inputs[slot]);
                hidden = input.is_some_and(|input| input.link.is_some() || converted.contains(input.name.as_str()));
            }
            // A widget that the class gained after the group was saved has no value among the group's.
            if !hidden && widget.saved && (!stored || widget.stored.is_some()) {
                let name = self.name(place, node, &widget.name);
                self.found.widgets.push(OuterWidget { node: place, widget: number, slot, name });
            }
        }
        let mut late = Vec::new();
        for (slot, input) in node.inputs.iter().enumerate().filter(|(_, input)| input.link.is_none()) {
            if input.widget.is_none() {
                let entry = self.open(place, node, slot);
                self.found.sockets.push(entry);
            } else if converted.contains(input.name.as_str()) {
                late.push(slot);
            }
        }
        late
    }

    /// The widgets that were converted to inputs: those that a node lists, unless it lists them all, as editors from
    /// 1.16 on do.
    fn converted(&self, place: usize, node: &Node) -> HashSet<String> {
        let listed = self.members[place].inputs.iter().filter(|input| input.widget.is_some());
        let listed: HashSet<String> = listed.map(|input| input.name.clone()).collect();
        let all = node.inputs.iter().filter(|input| input.widget.is_some_and(|w| node.widgets[w].saved)).count();
        // If the class has gained a widget since, the saved node lists fewer than the class has now: the widgets with a
        // saved value are counted.
        let then = node.widgets.iter().filter(|widget| widget.stored.is_some() && !widget.controls).count();
        if listed.len() < all.min(if then > 0 { then } else { all }) { listed } else { HashSet::new() }
    }

    /// A reroute that is connected on one side only is an input of the group.
    fn reroute(&mut self, place: usize, node: &Node) {
        let fed = node.inputs.first().is_some_and(|input| input.link.is_some());
        let Some(ty) = self.wiring.from.get(&(place, 0)).cloned() else { return };
        if !fed && !node.inputs.is_empty() {
            let name = self.name(place, node, &ty);
            self.found.sockets.push(Open { node: place, slot: 0, name, ty });
        }
    }

    /// A primitive shows its value, and what controls it.
    fn primitive(&mut self, place: usize, node: &Node) {
        for (widget, part) in node.widgets.iter().enumerate() {
            let name = self.name(place, node, &part.name);
            self.found.widgets.push(OuterWidget { node: place, widget, slot: None, name });
        }
    }

    fn outputs(&mut self, place: usize, node: &Node) {
        if matches!(node.role, Role::Note | Role::Primitive) {
            return;
        }
        let fed = node.inputs.first().is_some_and(|input| input.link.is_some());
        for (slot, output) in node.outputs.iter().enumerate() {
            let consumed = self.wiring.from.contains_key(&(place, slot));
            let external = self.wiring.external.contains(&(place, slot));
            let shown = self.definition["config"][place.to_string()]["output"][slot.to_string()]["visible"].as_bool();
            let both_open = node.role == Role::Reroute && !fed && !consumed && !external;
            if shown.unwrap_or(external || (!consumed && !both_open)) {
                self.found.outputs.push((place, slot, output.ty.clone()));
            }
        }
    }

    fn open(&mut self, place: usize, node: &Node, slot: usize) -> Open {
        let input = &node.inputs[slot];
        Open { node: place, slot, name: self.name(place, node, &input.name), ty: input.ty.clone() }
    }

    /// The name under which the group shows an input: as configured, with the node's title before it if it is taken.
    fn name(&mut self, place: usize, node: &Node, input: &str) -> String {
        let given = self.definition["config"][place.to_string()]["input"][input]["name"].as_str();
        let mut name = given.unwrap_or(input).to_owned();
        let titled = node.role == Role::Primitive && self.members[place].title.is_some();
        if titled || self.seen.contains_key(&name) {
            let before = self.members[place].title.as_deref().unwrap_or(&node.class);
            let longer = format!("{before} {input}");
            name = match self.seen.get(&longer) {
                Some(count) => format!("{before} {count} {input}"),
                None => longer,
            };
        }
        *self.seen.entry(name.clone()).or_insert(0) += 1;
        name
    }
}
