//! Writes the nodes of the API form: each with the outputs and constants that feed its inputs.

use std::collections::HashSet;

use indexmap::IndexMap;
use serde_json::Value;

use super::bounds::{Allowance, weight};
use super::dynamic_prompt::{self, Chooser};
use super::flat::Flat;
use super::graph::{Graph, Graphs, Location, Mode, Node, Widget};
use super::replace::{self, Names};
use super::resolve::{Origin, Resolver};
use super::stored::Kept;
use super::types::{Context, ReadError, Remark, Unfed};
use super::{advance, api};
use crate::prompt::{Given, NodeId, PromptNode};

/// The text that was chosen for a widget, and where it stands in the file.
pub(super) struct Choice {
    graph: Location,
    node: usize,
    kept: Kept,
    text: String,
}

impl Choice {
    pub(super) fn write(self, file: &mut Value) {
        advance::write(file, self.graph, self.node, &self.kept, Value::String(self.text));
    }
}

/// What there is beside the nodes.
pub(super) struct Emitted {
    pub(super) chosen: Vec<Choice>,
    /// Texts as they were before they were worked on, by node and input.
    pub(super) raw: IndexMap<(NodeId, String), Value>,
    pub(super) unfed: Vec<Unfed>,
    pub(super) remarks: Vec<Remark>,
}

/// Inputs that are set from outside, by node and input: texts among them are worked on wherever they come from.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The value, unless it stands in the file already.
    pub(super) by_input: IndexMap<(NodeId, String), Option<Value>>,
}

impl Settings {
    /// Sets widgets of graphs that are instanced once, so that names in texts find the values.
    pub(super) fn set_single(&self, graphs: &mut Graphs, flat: &Flat) {
        if self.by_input.values().all(Option::is_none) {
            return;
        }
        let mut instanced = vec![0usize; graphs.all.len()];
        flat.scopes.iter().for_each(|scope| instanced[scope.graph] += 1);
        for &(scope, place) in &flat.leaves {
            let scope = &flat.scopes[scope];
            if instanced[scope.graph] != 1 {
                continue;
            }
            let node = &mut graphs.all[scope.graph].nodes[place];
            let id = NodeId::from(format!("{}{}", scope.prefix, node.id));
            for widget in &mut node.widgets {
                if let Some(Some(value)) = self.by_input.get(&(id.clone(), widget.name.clone())) {
                    widget.value = Some(value.clone());
                }
            }
        }
    }

    fn of<'a>(&'a self, id: &'a NodeId) -> impl Iterator<Item = (&'a str, Option<&'a Value>)> {
        let own = self.by_input.iter().filter(move |((node, _), _)| node == id);
        own.map(|((_, input), value)| (input.as_str(), value.as_ref()))
    }
}

/// Writes the nodes down.
pub(super) struct Emission<'a> {
    resolver: Resolver<'a>,
    emitted: HashSet<(usize, usize)>,
    graphs: &'a Graphs,
    names: &'a Names,
    context: &'a Context<'a>,
    settings: &'a Settings,
    chooser: Chooser,
    chosen: Vec<Choice>,
    raw: IndexMap<(NodeId, String), Value>,
    unfed: Vec<Unfed>,
    allowance: Allowance,
    remarks: Vec<Remark>,
}

impl<'a> Emission<'a> {
    pub(super) fn new(
        graphs: &'a Graphs,
        flat: &'a Flat,
        names: &'a Names,
        context: &'a Context<'a>,
        settings: &'a Settings,
        remarks: Vec<Remark>,
    ) -> Self {
        let emitted = flat.leaves.iter().copied().filter(|(scope, node)| flat.emits(graphs, *scope, *node));
        Self {
            resolver: Resolver::new(graphs, &flat.scopes, &flat.inner),
            emitted: emitted.collect(),
            graphs,
            names,
            context,
            settings,
            chooser: Chooser::new(context.seed),
            chosen: Vec::new(),
            raw: IndexMap::new(),
            unfed: Vec::new(),
            allowance: Allowance::new(),
            remarks,
        }
    }

    pub(super) fn end(self) -> Emitted {
        let mut remarks = self.remarks;
        remarks.extend(self.resolver.remarks);
        Emitted { chosen: self.chosen, raw: self.raw, unfed: self.unfed, remarks }
    }

    pub(super) fn node(&mut self, scope: usize, place: usize) -> Result<Option<(NodeId, PromptNode)>, ReadError> {
        let graph = self.resolver.graph(scope);
        let node = &graph.nodes[place];
        let id = self.resolver.id(scope, place);
        if !self.emitted.contains(&(scope, place)) {
            self.report_off(scope, node, &id);
            return Ok(None);
        }
        let mut inputs = IndexMap::new();
        for (number, widget) in node.widgets.iter().enumerate().filter(|(_, widget)| widget.sent) {
            if let Some(value) = self.value(&id, graph, node, number) {
                self.allowance.spend(weight(&value) + widget.name.len())?;
                inputs.insert(widget.name.clone(), Given::Constant(api::unwrapped(&value).clone()));
            }
        }
        for (slot, input) in node.inputs.iter().enumerate() {
            if input.link.is_none() {
                continue;
            }
            match self.feeds(scope, place, slot)? {
                Fed::Nothing => {}
                Fed::Given(given) => {
                    if let Given::Constant(value) = &given {
                        self.allowance.spend(weight(value))?;
                    }
                    inputs.insert(input.name.clone(), given);
                }
                Fed::Muted(origin) => {
                    let unfed = Unfed { node: NodeId::from(id.as_str()), input: input.name.clone(), by: origin };
                    self.remarks.push(unfed.remark());
                    self.unfed.push(unfed);
                    inputs.shift_remove(&input.name);
                }
            }
        }
        let id = NodeId::from(id);
        let settings = self.settings;
        for (input, value) in settings.of(&id) {
            let value = match (value, inputs.get(input)) {
                (Some(value), _) => value.clone(),
                // It came from outside of its graph, where texts are otherwise left as they are.
                (None, Some(Given::Constant(value))) if !self.raw.contains_key(&(id.clone(), input.to_owned())) => {
                    value.clone()
                }
                _ => continue,
            };
            self.unfed.retain(|unfed| unfed.node != id || unfed.input != input);
            let worked = match &value {
                Value::String(text) => self.worked(node, input, text).map(Value::String),
                _ => None,
            };
            if let Some(worked) = worked {
                self.raw.insert((id.clone(), input.to_owned()), value);
                inputs.insert(input.to_owned(), Given::Constant(worked));
            } else {
                inputs.insert(input.to_owned(), Given::Constant(value));
            }
        }
        let title = node.title.clone();
        Ok(Some((id, PromptNode { class_type: node.class.clone(), inputs, title })))
    }

    /// What a linked input is given once the links are followed.
    fn feeds(&mut self, scope: usize, place: usize, slot: usize) -> Result<Fed, ReadError> {
        let (source, fallback) = self.resolver.input(scope, place, slot)?;
        Ok(match source {
            Origin::Output(scope, node, slot) if self.emitted.contains(&(scope, node)) => {
                let slot = self.resolver.graph(scope).nodes[node].output_today(slot);
                Fed::Given(Given::link(self.resolver.id(scope, node), slot))
            }
            Origin::Output(scope, node, _) => Fed::Muted(self.resolver.id(scope, node)),
            Origin::Widget(scope, node, widget) => self.promoted(scope, node, widget).map_or(Fed::Nothing, Fed::Given),
            Origin::Nothing => {
                // If there are several instances, only the last has pushed its value down; the value of this instance
                // must win.
                let node = &self.resolver.graph(scope).nodes[place];
                let pushed = node.inputs[slot].widget.and_then(|widget| node.widgets[widget].value.clone());
                let Some(Origin::Widget(scope, outer, widget)) = fallback else { return Ok(Fed::Nothing) };
                match self.promoted(scope, outer, widget) {
                    Some(Given::Constant(value)) if pushed.as_ref().is_some_and(|pushed| *pushed != value) => {
                        Fed::Given(Given::Constant(value))
                    }
                    _ => Fed::Nothing,
                }
            }
        })
    }

    fn promoted(&self, scope: usize, node: usize, widget: usize) -> Option<Given> {
        let value = self.resolver.graph(scope).nodes[node].widgets[widget].value.as_ref()?;
        Some(Given::Constant(api::unwrapped(value).clone()))
    }

    /// A widget's value as it is sent: with the options of a dynamic prompt chosen, and names filled in.
    fn value(&mut self, id: &str, graph: &Graph, node: &Node, number: usize) -> Option<Value> {
        let widget: &Widget = &node.widgets[number];
        let value = widget.value.as_ref()?;
        let Value::String(text) = value else { return Some(value.clone()) };
        let Some(worked) = self.worked(node, &widget.name, text) else { return Some(value.clone()) };
        if worked != *text {
            if widget.dynamic_prompts {
                self.remarks.push(Remark::note(id, dynamic_prompt::difference(&widget.name, text)));
            }
            self.raw.insert((NodeId::from(id), widget.name.clone()), value.clone());
            let kept = widget.stored.clone().filter(|_| widget.dynamic_prompts);
            if let (Some(location), Some(kept)) = (graph.location, kept) {
                self.chosen.push(Choice { graph: location, node: node.place, kept, text: worked.clone() });
            }
        }
        Some(Value::String(worked))
    }

    /// A text that is worked on before it is sent: that of a dynamic prompt, and the prefix of a file's name.
    fn worked(&mut self, node: &Node, input: &str, text: &str) -> Option<String> {
        if node.widget(input).is_some_and(|widget| widget.dynamic_prompts) {
            return Some(self.chooser.choose(text));
        }
        let named = input == "filename_prefix" && replace::applies(&node.class, node.known);
        named.then(|| self.names.replace(text, self.graphs, self.context.now))
    }

    /// Tells of a node that will not run.
    fn report_off(&mut self, scope: usize, node: &Node, id: &str) {
        if node.is_virtual() {
            return;
        }
        let class = node.class.escape_debug();
        let text = match node.mode {
            Mode::Muted => format!("`{class}` is muted: it is left out"),
            Mode::Bypassed => format!("`{class}` is bypassed: it is left out, and what it is given is passed on"),
            Mode::On if self.resolver.is_off(scope) => {
                format!("`{class}` is left out: the subgraph around it is muted or bypassed")
            }
            Mode::On => return,
        };
        self.remarks.push(Remark::note(id, text));
    }
}

enum Fed {
    Nothing,
    Given(Given),
    /// Fed by a node that does not run: the input is left out.
    Muted(String),
}
