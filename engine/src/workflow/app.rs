//! The editor's app view: which inputs the author of a workflow offers there, and of which nodes it shows the outputs.

use std::collections::{HashMap, HashSet};

use indexmap::IndexSet;
use serde_json::Value;

use super::convert::{Assembled, assemble};
use super::graph::Role;
use super::resolve::{Origin, Resolver};
use super::stored::last_name;
use super::types::{Context, ReadError};
use super::{subgraph, ui};
use crate::prompt::NodeId;

/// How many inputs are taken: nobody looks through more.
const MAX_CHOSEN: usize = 1000;

/// A node and an input, as the prompt calls them.
type Address = (NodeId, String);

/// What a workflow's author chose for the app view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    /// In the author's order.
    pub inputs: Vec<Address>,
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
    let there: HashSet<String> =
        file["nodes"].as_array().into_iter().flatten().filter_map(|node| ui::id(&node["id"])).collect();
    let outputs = entries("outputs").iter().take(MAX_CHOSEN).filter_map(ui::id).filter(|id| there.contains(id));
    let outputs: Vec<_> = outputs.map(NodeId::from).collect();
    let chosen: IndexSet<_> = entries("inputs")
        .iter()
        .take(MAX_CHOSEN)
        .filter_map(|entry| Some((ui::id(&entry[0])?, entry[1].as_str()?)))
        .collect();
    if chosen.is_empty() {
        return Ok(App { inputs: Vec::new(), outputs });
    }
    // A widget by its node and name, also by the inner node of an instance that shows it, and by the name that it has here.
    let names = |id: String, name: &str| [name.to_owned(), last_name(name).to_owned()].map(|name| (id.clone(), name));
    let of = |(id, name): &(String, &str)| {
        let shown = shown_inside(file, id, name).map(|(leaf, widget)| names(leaf, &widget));
        names(id.clone(), name).into_iter().chain(shown.into_iter().flatten()).collect::<Vec<_>>()
    };
    let wanted: HashSet<_> = chosen.iter().flat_map(of).collect();
    let found = addresses(&assemble(file, context)?, &wanted)?;
    // One widget may feed very many inputs.
    let mut inputs = IndexSet::new();
    for input in chosen.iter().flat_map(of).flat_map(|widget| found.get(&widget).into_iter().flatten()) {
        inputs.insert(input);
        if inputs.len() == MAX_CHOSEN {
            break;
        }
    }
    Ok(App { inputs: inputs.into_iter().cloned().collect(), outputs })
}

/// A node and a widget of the file.
type Widget = (String, String);

/// The inputs of the prompt that widgets give their values to: their own node's, those that they are promoted from, or those that
/// they feed as a primitive.
fn addresses(assembled: &Assembled, wanted: &HashSet<Widget>) -> Result<HashMap<Widget, Vec<Address>>, ReadError> {
    let Assembled { graphs, flat, .. } = assembled;
    let mut resolver = Resolver::new(graphs, &flat.scopes, &flat.inner);
    let mut found: HashMap<Widget, Vec<Address>> = HashMap::new();
    for &(scope, place) in &flat.leaves {
        let graph = resolver.graph(scope);
        let node = &graph.nodes[place];
        let own = resolver.id(scope, place);
        let mut feeds = |widget: Widget, input: &str| {
            if wanted.contains(&widget) {
                found.entry(widget).or_default().push((NodeId::from(own.as_str()), input.to_owned()));
            }
        };
        for widget in node.widgets.iter().filter(|widget| widget.sent) {
            feeds((own.clone(), widget.name.clone()), &widget.name);
        }
        for (slot, input) in node.inputs.iter().enumerate().filter(|(_, input)| input.link.is_some()) {
            let (origin, fallback) = resolver.input(scope, place, slot)?;
            for origin in [Some(origin), fallback].into_iter().flatten() {
                let Origin::Widget(scope, node, widget) = origin else { continue };
                if let Some(outer) = resolver.graph(scope).nodes[node].widgets.get(widget) {
                    feeds((resolver.id(scope, node), outer.name.clone()), &input.name);
                }
            }
            let link = input.link.as_ref().and_then(|link| graph.links.get(link));
            let feeder = link.and_then(|link| graph.by_id.get(&link.origin));
            if let Some(&feeder) = feeder.filter(|feeder| graph.nodes[**feeder].role == Role::Primitive) {
                feeds((resolver.id(scope, feeder), "value".to_owned()), &input.name);
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
