//! The editor's app view: which inputs the author of a workflow offers there, and of which nodes it shows the outputs.

use serde_json::Value;

use super::convert::{Assembled, assemble};
use super::graph::Role;
use super::resolve::{Origin, Resolver};
use super::stored::last_name;
use super::types::{Context, ReadError};
use super::{subgraph, ui};
use crate::prompt::NodeId;

/// What a workflow's author chose for the app view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    /// Node and input as the prompt calls them, in the author's order.
    pub inputs: Vec<(NodeId, String)>,
    /// The nodes whose outputs are shown.
    pub outputs: Vec<NodeId>,
}

/// Reads what a file in the editor's form says of its app view (`extra.linearData`). Choices of nodes that are there no more
/// are passed over, as the editor does.
///
/// # Errors
/// When the file cannot be expanded; see [`super::read`].
pub fn app(file: &Value, context: &Context<'_>) -> Result<App, ReadError> {
    let data = &file["extra"]["linearData"];
    let entries = |of: &str| data[of].as_array().map_or(&[][..], |entries| entries);
    let outputs = entries("outputs").iter().filter_map(|entry| Some(NodeId::from(ui::id(entry)?)));
    let mut app = App { inputs: Vec::new(), outputs: outputs.collect() };
    let chosen: Vec<_> =
        entries("inputs").iter().filter_map(|entry| Some((ui::id(&entry[0])?, entry[1].as_str()?))).collect();
    if chosen.is_empty() {
        return Ok(app);
    }
    let assembled = assemble(file, context)?;
    for (id, name) in chosen {
        for input in addresses(&assembled, file, &id, name)? {
            if !app.inputs.contains(&input) {
                app.inputs.push(input);
            }
        }
    }
    Ok(app)
}

/// The inputs of the prompt that a widget of the outermost graph gives its value to: its own node's, those that it is promoted from,
/// or those that it feeds as a primitive.
fn addresses(assembled: &Assembled, file: &Value, id: &str, name: &str) -> Result<Vec<(NodeId, String)>, ReadError> {
    let Assembled { graphs, flat, .. } = assembled;
    let mut resolver = Resolver::new(graphs, &flat.scopes, &flat.inner);
    let shown = shown_inside(file, id, name);
    let mut found = Vec::new();
    for &(scope, place) in &flat.leaves {
        let node = &resolver.graph(scope).nodes[place];
        let own = resolver.id(scope, place);
        for widget in node.widgets.iter().filter(|widget| widget.sent) {
            let here = |wanted: &str| widget.name == wanted || widget.name == last_name(wanted);
            if (own == id && here(name)) || shown.as_ref().is_some_and(|(leaf, name)| own == *leaf && here(name)) {
                found.push((NodeId::from(own.as_str()), widget.name.clone()));
            }
        }
        for (slot, input) in node.inputs.iter().enumerate().filter(|(_, input)| input.link.is_some()) {
            let (origin, fallback) = resolver.input(scope, place, slot)?;
            let promoted = [Some(origin), fallback].into_iter().flatten().any(|origin| {
                let Origin::Widget(scope, node, widget) = origin else { return false };
                let outer = &resolver.graph(scope).nodes[node];
                resolver.id(scope, node) == id && outer.widgets.get(widget).is_some_and(|widget| widget.name == name)
            });
            let graph = resolver.graph(scope);
            let link = input.link.as_ref().and_then(|link| graph.links.get(link));
            let feeder = link
                .and_then(|link| graph.by_id.get(&link.origin))
                .filter(|feeder| graph.nodes[**feeder].role == Role::Primitive && resolver.id(scope, **feeder) == id);
            if promoted || feeder.is_some() {
                found.push((NodeId::from(own.as_str()), input.name.clone()));
            }
        }
    }
    Ok(found)
}

/// The inner node and widget that an instance merely shows under this name.
fn shown_inside(file: &Value, id: &str, name: &str) -> Option<(String, String)> {
    let nodes = file["nodes"].as_array()?;
    let node = nodes.iter().find(|node| ui::id(&node["id"]).as_deref() == Some(id))?;
    let proxies = subgraph::proxies(&node["properties"]["proxyWidgets"]);
    let (inner, widget) = proxies.into_iter().flatten().find(|(inner, widget)| inner != "-1" && widget == name)?;
    Some((format!("{id}:{inner}"), widget))
}
