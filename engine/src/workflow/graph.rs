//! The editor's form interpreted: nodes with the slots and widgets of their classes, and the links between them.

use std::collections::HashMap;

use serde_json::Value;

use super::stored::Kept;
use super::types::Remark;

/// The ids with which links inside a subgraph name its boundary.
pub(super) const INPUT_BOUNDARY: &str = "-10";
pub(super) const OUTPUT_BOUNDARY: &str = "-20";

/// All graphs of a file: the root, the subgraphs' insides, and one for each group node.
#[derive(Debug, Default)]
pub(super) struct Graphs {
    /// Children before parents, the root last.
    pub(super) all: Vec<Graph>,
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
    /// The place of a node in `nodes`, by id.
    pub(super) by_id: HashMap<String, usize>,
    pub(super) links: HashMap<String, super::ui::Link>,
    /// The inputs that carry a link, by the link's id.
    pub(super) targets: HashMap<String, Vec<(usize, usize)>>,
    pub(super) inputs: Vec<Boundary>,
    pub(super) outputs: Vec<Boundary>,
    /// Where the graph stands in the file; nowhere if it is a group node's.
    pub(super) location: Option<Location>,
    /// What was found while it was built; nodes by their ids in it.
    pub(super) remarks: Vec<Remark>,
}

/// Where a graph stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    Root,
    /// A place in `definitions.subgraphs`.
    Subgraph(usize),
}

/// A slot of a subgraph's boundary, seen from inside.
#[derive(Clone, Debug)]
pub(super) struct Boundary {
    pub(super) name: String,
    pub(super) ty: String,
    pub(super) links: Vec<String>,
    /// The first inner widget that hangs on it, by node and widget.
    pub(super) template: Option<(usize, usize)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    On,
    Muted,
    Bypassed,
}

impl From<i64> for Mode {
    fn from(mode: i64) -> Self {
        match mode {
            2 => Self::Muted,
            4 => Self::Bypassed,
            // The event modes 1 and 3 behave like 0.
            _ => Self::On,
        }
    }
}

/// What kind of thing a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A node of a class, known or not.
    Real,
    Reroute,
    Primitive,
    Note,
    SetNode,
    GetNode,
    /// A subgraph's or group's instance; the number is its graph's in [`Graphs::all`].
    Instance(usize),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: String,
    /// The place in the file's array.
    pub(super) place: usize,
    pub(super) class: String,
    /// Whether the class's declaration is at hand.
    pub(super) known: bool,
    pub(super) role: Role,
    pub(super) mode: Mode,
    /// What the user called it, else the class's display name where that is known.
    pub(super) title: Option<String>,
    /// The name (`Node name for S&R`) by which `%name.widget%` finds it; titles come second.
    pub(super) alias: Option<String>,
    pub(super) inputs: Vec<Slot>,
    pub(super) outputs: Vec<Output>,
    pub(super) widgets: Vec<Widget>,
    /// Whether a primitive's value goes through text replacement.
    pub(super) replaces: bool,
    /// Which output each saved one is today, by number; those beyond the list are what they were.
    pub(super) renumbered: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) ty: String,
    pub(super) link: Option<String>,
    /// The widget that stands in while nothing is linked.
    pub(super) widget: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) ty: String,
    pub(super) links: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Widget {
    pub(super) name: String,
    /// `None` where there is nothing to send, such as the choice of a combo without options.
    pub(super) value: Option<Value>,
    /// Whether the prompt holds it.
    pub(super) sent: bool,
    /// Whether `{a|b}` is chosen from.
    pub(super) dynamic_prompts: bool,
    /// Whether the editor saves it.
    pub(super) saved: bool,
    /// Whether it belongs to the widget before it, which it changes after each run.
    pub(super) controls: bool,
    /// Where the file keeps the value, if it does.
    pub(super) stored: Option<Kept>,
}

impl Graph {
    /// A graph of nodes and links, indexed. Of nodes with one id the first counts; the others' ids are returned.
    pub(super) fn new(nodes: Vec<Node>, links: HashMap<String, super::ui::Link>) -> (Self, Vec<String>) {
        let mut graph = Self { links, ..Self::default() };
        let mut doubled = Vec::new();
        for node in nodes {
            let place = graph.nodes.len();
            if graph.by_id.contains_key(&node.id) {
                doubled.push(node.id);
                continue;
            }
            graph.by_id.insert(node.id.clone(), place);
            for (slot, input) in node.inputs.iter().enumerate() {
                if let Some(link) = &input.link {
                    graph.targets.entry(link.clone()).or_default().push((place, slot));
                }
            }
            graph.nodes.push(node);
        }
        (graph, doubled)
    }

    /// Finds, for each input of the boundary, the inner widget whose value it takes over.
    pub(super) fn find_templates(&mut self) {
        for slot in 0..self.inputs.len() {
            self.inputs[slot].template = self.inputs[slot].links.iter().find_map(|link| self.fed_widgets(link).next());
        }
    }

    /// The inputs that a link feeds.
    pub(super) fn targets(&self, link: &str) -> &[(usize, usize)] {
        self.targets.get(link).map_or(&[], Vec::as_slice)
    }

    /// The widgets that a link would set if it carried a value.
    pub(super) fn fed_widgets(&self, link: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.targets(link).iter().filter_map(|(node, slot)| Some((*node, self.nodes[*node].inputs[*slot].widget?)))
    }
}

impl Node {
    pub(super) fn is_virtual(&self) -> bool {
        self.role != Role::Real
    }

    pub(super) fn widget(&self, name: &str) -> Option<&Widget> {
        self.widgets.iter().find(|widget| widget.name == name)
    }

    /// The number that a saved output has today.
    pub(super) fn output_today(&self, slot: usize) -> usize {
        self.renumbered.get(slot).copied().unwrap_or(slot)
    }
}
