//! From the editor's form to the API form: the values of primitives and promoted widgets are copied to the widgets that
//! they control, subgraph instances are flattened, and each node is written with the outputs and constants that feed
//! its inputs.

use std::collections::{HashMap, HashSet, VecDeque};

use indexmap::{IndexMap, IndexSet};
use serde_json::Value;

use super::bounds::{Allowance, MAX_DEPTH, MAX_NODES, too_deep, too_many, weight};
use super::build;
use super::dynamic_prompt::Chooser;
use super::graph::{Graph, Graphs, Location, Mode, Node, Role, Widget};
use super::replace::Names;
use super::resolve::{Origin, Resolver, Scope};
use super::stored::Kept;
use super::types::{Context, Form, ReadError, Remark, Severity, Workflow};
use super::{advance, api};
use crate::prompt::{Given, NodeId, Prompt, PromptNode};

/// Converts a file in the editor's form.
///
/// # Errors
/// When its subgraphs cannot be expanded: one contains itself, or there are too many or too deep.
pub(super) fn convert(file: &Value, context: &Context<'_>) -> Result<Workflow, ReadError> {
    let (mut graphs, remarks) = build::build(file, context)?;
    let flat = Flat::new(&graphs)?;
    let names = Names::new(&graphs);
    let mut allowance = Allowance::new();
    apply_primitives(&mut graphs, &names, context, &mut allowance)?;
    push_down(&mut graphs, &flat, &mut allowance)?;
    let mut emission = Emission {
        resolver: Resolver::new(&graphs, &flat.scopes, &flat.inner),
        emitted: flat.leaves.iter().copied().filter(|(scope, node)| flat.emits(&graphs, *scope, *node)).collect(),
        graphs: &graphs,
        names: &names,
        context,
        chooser: Chooser::new(context.seed),
        chosen: Vec::new(),
        allowance,
        remarks,
    };
    let mut nodes = IndexMap::new();
    for &(scope, node) in &flat.leaves {
        if let Some((id, node)) = emission.node(scope, node)? {
            nodes.insert(id, node);
        }
    }
    for &(scope, place) in &flat.half_off {
        let id = emission.resolver.id(scope, place);
        let text = "the subgraph is muted or bypassed, but nodes in it are not: they run, as in ComfyUI";
        emission.remarks.push(Remark::warning(&id, text));
    }
    let prompt = Prompt { nodes: numbered_first(nodes) };
    let mut workflow_json = file.clone();
    for choice in emission.chosen {
        choice.write(&mut workflow_json);
    }
    let mut remarks = emission.remarks;
    remarks.append(&mut emission.resolver.remarks);
    if prompt.nodes.is_empty() {
        remarks.push(Remark::general(Severity::Warning, "no node of the workflow would run"));
    }
    Ok(Workflow { prompt_json: prompt.to_json(), prompt, workflow_json: Some(workflow_json), remarks, form: Form::Ui })
}

/// Writes each primitive's value into the widgets that it is linked to; its mode does not matter.
fn apply_primitives(
    graphs: &mut Graphs,
    names: &Names,
    context: &Context<'_>,
    allowance: &mut Allowance,
) -> Result<(), ReadError> {
    let mut writes = Vec::new();
    for (place, graph) in graphs.all.iter().enumerate() {
        for node in graph.nodes.iter().filter(|node| node.role == Role::Primitive) {
            let links = node.outputs.iter().flat_map(|output| &output.links);
            let own = links.filter(|link| graph.links.get(*link).is_some_and(|link| link.origin == node.id));
            let own: IndexSet<_> = own.collect();
            let targets: Vec<_> = own.into_iter().flat_map(|link| graph.fed_widgets(link)).collect();
            // A primitive without a value of its own has that of its first target.
            let first = || targets.first().and_then(|(node, widget)| graph.nodes[*node].widgets[*widget].value.clone());
            let Some(mut value) = node.widgets.first().and_then(|w| w.value.clone()).or_else(first) else { continue };
            if let (true, Value::String(text)) = (node.replaces, &value) {
                value = Value::String(names.replace(text, graphs, context.now));
            }
            allowance.spend(targets.len().saturating_mul(weight(&value)))?;
            writes.extend(targets.into_iter().map(|(node, widget)| (place, node, widget, value.clone())));
        }
    }
    for (graph, node, widget, value) in writes {
        graphs.all[graph].nodes[node].widgets[widget].value = Some(value);
    }
    Ok(())
}

/// Writes the value of each promoted widget into all inner widgets that hang on its input, from the outside inwards.
/// If a graph has several instances of one subgraph, the values of the last one remain.
fn push_down(graphs: &mut Graphs, flat: &Flat, allowance: &mut Allowance) -> Result<(), ReadError> {
    let used: HashSet<usize> = flat.scopes.iter().map(|scope| scope.graph).collect();
    for parent in (0..graphs.all.len()).rev().filter(|graph| used.contains(graph)) {
        let mut writes = Vec::new();
        let mut written = HashSet::new();
        for node in graphs.all[parent].nodes.iter().rev() {
            let Role::Instance(inner) = node.role else { continue };
            let graph = &graphs.all[inner];
            for (number, (slot, boundary)) in node.inputs.iter().zip(&graph.inputs).enumerate() {
                let Some(value) = slot.widget.and_then(|widget| node.widgets[widget].value.as_ref()) else { continue };
                if !written.insert((inner, number)) {
                    continue;
                }
                for (node, widget) in boundary.links.iter().flat_map(|link| graph.fed_widgets(link)) {
                    allowance.spend(weight(value))?;
                    writes.push((inner, node, widget, value.clone()));
                }
            }
        }
        for (graph, node, widget, value) in writes {
            graphs.all[graph].nodes[node].widgets[widget].value = Some(value);
        }
    }
    Ok(())
}

/// The nodes of all subgraph instances, flattened.
#[derive(Default)]
struct Flat {
    scopes: Vec<Scope>,
    inner: HashMap<(usize, usize), usize>,
    /// Scope and node of all that are no instances, in the order in which they are written.
    leaves: Vec<(usize, usize)>,
    /// Instances that are muted or bypassed while nodes in them are not.
    half_off: Vec<(usize, usize)>,
}

impl Flat {
    fn new(graphs: &Graphs) -> Result<Self, ReadError> {
        let mut flat = Self::default();
        let root = graphs.all.len() - 1;
        flat.scopes.push(Scope { graph: root, parent: None, prefix: String::new() });
        flat.expand(graphs, 0, execution_order(&graphs.all[root]), 0)?;
        Ok(flat)
    }

    fn expand(
        &mut self,
        graphs: &Graphs,
        scope: usize,
        order: impl IntoIterator<Item = usize>,
        depth: usize,
    ) -> Result<(), ReadError> {
        if depth > MAX_DEPTH {
            return Err(too_deep("subgraphs"));
        }
        let graph = &graphs.all[self.scopes[scope].graph];
        for place in order {
            let node = &graph.nodes[place];
            let Role::Instance(inner) = node.role else {
                self.leaves.push((scope, place));
                if self.leaves.len() > MAX_NODES {
                    return Err(too_many());
                }
                continue;
            };
            if node.mode != Mode::On
                && graphs.all[inner].nodes.iter().any(|node| !node.is_virtual() && node.mode == Mode::On)
            {
                self.half_off.push((scope, place));
            }
            let child = self.scopes.len();
            if child > MAX_NODES {
                return Err(too_many());
            }
            let prefix = format!("{}{}:", self.scopes[scope].prefix, node.id);
            self.scopes.push(Scope { graph: inner, parent: Some((scope, place)), prefix });
            self.inner.insert((scope, place), child);
            self.expand(graphs, child, 0..graphs.all[inner].nodes.len(), depth + 1)?;
        }
        Ok(())
    }

    /// Whether a node becomes part of the prompt.
    fn emits(&self, graphs: &Graphs, scope: usize, node: usize) -> bool {
        let node = &graphs.all[self.scopes[scope].graph].nodes[node];
        !node.is_virtual() && node.mode == Mode::On
    }
}

/// The editor's order of execution: nodes without linked inputs first, in the file's order, then those that they
/// complete; what stands in a cycle comes last, numbers ascending.
fn execution_order(graph: &Graph) -> Vec<usize> {
    let mut waiting: Vec<usize> =
        graph.nodes.iter().map(|node| node.inputs.iter().filter(|input| input.link.is_some()).count()).collect();
    let mut ready: VecDeque<usize> = (0..graph.nodes.len()).filter(|node| waiting[*node] == 0).collect();
    let mut placed: Vec<bool> = waiting.iter().map(|count| *count == 0).collect();
    let mut order = Vec::with_capacity(graph.nodes.len());
    let mut seen = HashSet::new();
    while let Some(node) = ready.pop_front() {
        order.push(node);
        for link in graph.nodes[node].outputs.iter().flat_map(|output| &output.links) {
            let target = graph.links.get(link).and_then(|link| graph.by_id.get(&link.target));
            if let (Some(&target), true) = (target, seen.insert(link)) {
                waiting[target] = waiting[target].saturating_sub(1);
                if waiting[target] == 0 && !placed[target] {
                    placed[target] = true;
                    ready.push_back(target);
                }
            }
        }
    }
    let mut rest: Vec<_> = (0..graph.nodes.len()).filter(|node| !placed[*node]).collect();
    rest.sort_by_key(|node| index_like(&graph.nodes[*node].id).map_or((1, 0), |number| (0, number)));
    order.extend(rest);
    order
}

/// The number, if JavaScript would take the key for an array's index.
fn index_like(key: &str) -> Option<u32> {
    let number: u32 = key.parse().ok().filter(|number| *number != u32::MAX)?;
    (number.to_string() == key).then_some(number)
}

/// The order of a JavaScript object's keys: whole numbers ascending, then the rest as they came.
fn numbered_first<T>(mut nodes: IndexMap<NodeId, T>) -> IndexMap<NodeId, T> {
    nodes.sort_by_cached_key(|id, _| index_like(id.as_str()).map_or((1, 0), |number| (0, number)));
    nodes
}

/// The text that was chosen for a widget, and where it stands in the file.
struct Choice {
    graph: Location,
    node: usize,
    kept: Kept,
    text: String,
}

impl Choice {
    fn write(self, file: &mut Value) {
        advance::write(file, self.graph, self.node, &self.kept, Value::String(self.text));
    }
}

/// Writes the nodes down.
struct Emission<'a> {
    resolver: Resolver<'a>,
    emitted: HashSet<(usize, usize)>,
    graphs: &'a Graphs,
    names: &'a Names,
    context: &'a Context<'a>,
    chooser: Chooser,
    chosen: Vec<Choice>,
    allowance: Allowance,
    remarks: Vec<Remark>,
}

impl Emission<'_> {
    fn node(&mut self, scope: usize, place: usize) -> Result<Option<(NodeId, PromptNode)>, ReadError> {
        let graph = self.resolver.graph(scope);
        let node = &graph.nodes[place];
        let id = self.resolver.id(scope, place);
        if !self.emitted.contains(&(scope, place)) {
            self.report_off(node, &id);
            return Ok(None);
        }
        let mut inputs = IndexMap::new();
        for (number, widget) in node.widgets.iter().enumerate().filter(|(_, widget)| widget.sent) {
            if let Some(value) = self.value(graph, node, number) {
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
                    let text =
                        format!("input `{}` is fed by node `{origin}`, which is muted: it is left out", input.name);
                    self.remarks.push(Remark::warning(&id, text));
                    inputs.shift_remove(&input.name);
                }
            }
        }
        let title = node.title.clone();
        Ok(Some((id.into(), PromptNode { class_type: node.class.clone(), inputs, title })))
    }

    /// What a linked input is given once the links are followed.
    fn feeds(&mut self, scope: usize, place: usize, slot: usize) -> Result<Fed, ReadError> {
        let (source, fallback) = self.resolver.input(scope, place, slot)?;
        Ok(match source {
            Origin::Output(scope, node, slot) if self.emitted.contains(&(scope, node)) => {
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
    fn value(&mut self, graph: &Graph, node: &Node, number: usize) -> Option<Value> {
        let widget: &Widget = &node.widgets[number];
        let value = widget.value.as_ref()?;
        let Value::String(text) = value else { return Some(value.clone()) };
        if widget.dynamic_prompts {
            let chosen = self.chooser.choose(text);
            if let (true, Some(location), Some(kept)) = (chosen != *text, graph.location, widget.stored.clone()) {
                self.chosen.push(Choice { graph: location, node: node.place, kept, text: chosen.clone() });
            }
            return Some(Value::String(chosen));
        }
        if widget.name == "filename_prefix" && super::replace::applies(&node.class) {
            return Some(Value::String(self.names.replace(text, self.graphs, self.context.now)));
        }
        Some(value.clone())
    }

    /// Tells of an output that will not run.
    fn report_off(&mut self, node: &Node, id: &str) {
        let schema = if node.known { self.context.schemas.schema(&node.class) } else { None };
        if node.mode != Mode::On && schema.is_some_and(|schema| schema.output_node) {
            let how = if node.mode == Mode::Muted { "muted" } else { "bypassed" };
            self.remarks.push(Remark::note(id, format!("`{}` is {how}: it will not run", node.class)));
        }
    }
}

enum Fed {
    Nothing,
    Given(Given),
    /// Fed by a node that does not run: the input is left out.
    Muted(String),
}
