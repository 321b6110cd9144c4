//! From the editor's form to the API form: the values of primitives and promoted widgets are copied to the widgets that
//! they control, subgraph instances are flattened, and each node is written with the outputs and constants that feed
//! its inputs.

use std::collections::HashSet;

use indexmap::{IndexMap, IndexSet};
use serde_json::Value;

use super::bounds::{Allowance, weight};
use super::build;
use super::emission::{Emission, Emitted, Settings};
use super::flat::{Flat, index_like};
use super::graph::{Graphs, Role};
use super::passed_on;
use super::replace::Names;
use super::types::{Context, Form, ReadError, Remark, Severity, Workflow};
use crate::prompt::{NodeId, Prompt};

/// Converts a file in the editor's form.
///
/// # Errors
/// When its subgraphs cannot be expanded: one contains itself, or there are too many or too deep.
pub(super) fn convert(file: &Value, context: &Context<'_>) -> Result<Workflow, ReadError> {
    Ok(converted(file, context, &Settings::default())?.workflow)
}

/// A file's graphs, with every widget's value where it counts.
pub(super) struct Assembled {
    pub(super) graphs: Graphs,
    pub(super) flat: Flat,
    names: Names,
}

/// Builds the graphs and copies the values of primitives and promoted widgets.
pub(super) fn assemble(file: &Value, context: &Context<'_>) -> Result<Assembled, ReadError> {
    let mut graphs = build::build(file, context)?;
    let flat = Flat::new(&graphs)?;
    let names = Names::new(&graphs);
    let mut allowance = Allowance::new();
    apply_primitives(&mut graphs, &names, context, &mut allowance)?;
    push_down(&mut graphs, &flat, &mut allowance)?;
    Ok(Assembled { graphs, flat, names })
}

/// A conversion, and the texts of its prompt before options were chosen and names filled in, by node and input.
pub(super) struct Converted {
    pub(super) workflow: Workflow,
    pub(super) raw: IndexMap<(NodeId, String), Value>,
}

pub(super) fn converted(file: &Value, context: &Context<'_>, settings: &Settings) -> Result<Converted, ReadError> {
    let Assembled { mut graphs, flat, names } = assemble(file, context)?;
    let remarks = found(&graphs, &flat);
    settings.set_single(&mut graphs, &flat);
    let mut emission = Emission::new(&graphs, &flat, &names, context, settings, remarks);
    let mut nodes = IndexMap::new();
    for &(scope, node) in &flat.leaves {
        if let Some((id, node)) = emission.node(scope, node)? {
            nodes.insert(id, node);
        }
    }
    let mut prompt = Prompt { nodes: numbered_first(nodes) };
    let mut workflow_json = file.clone();
    let Emitted { chosen, raw, unfed, mut remarks } = emission.end();
    for choice in chosen {
        choice.write(&mut workflow_json);
    }
    if prompt.nodes.is_empty() {
        remarks.push(Remark::general(Severity::Warning, "no node of the workflow would run"));
    }
    passed_on::link_through(&mut prompt, context.schemas, &mut remarks);
    let prompt_json = prompt.to_json();
    let workflow = Workflow {
        prompt_json,
        prompt,
        workflow_json: Some(workflow_json),
        remarks,
        form: Form::Ui,
        files: Vec::new(),
        unfed,
    };
    Ok(Converted { workflow, raw })
}

/// What was found while the graphs were built, nodes by their ids in the prompt. Of several instances of a subgraph the first is
/// named.
fn found(graphs: &Graphs, flat: &Flat) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut said = vec![false; graphs.all.len()];
    for scope in &flat.scopes {
        if std::mem::replace(&mut said[scope.graph], true) {
            continue;
        }
        for remark in &graphs.all[scope.graph].remarks {
            let node = remark.node.as_ref().map(|node| format!("{}{node}", scope.prefix));
            remarks.push(Remark { node, ..remark.clone() });
        }
    }
    remarks
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

/// The order of a JavaScript object's keys: whole numbers ascending, then the rest as they came.
fn numbered_first<T>(mut nodes: IndexMap<NodeId, T>) -> IndexMap<NodeId, T> {
    nodes.sort_by_cached_key(|id, _| index_like(id.as_str()).map_or((1, 0), |number| (0, number)));
    nodes
}
