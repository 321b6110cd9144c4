//! Draws a prompt as a graph, for Graphviz or Mermaid.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use petgraph::dot::{Config, Dot, RankDir};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, EdgeRef, Reversed};

use crate::prompt::{Given, NodeId, Prompt};
use crate::schema::Schemas;

/// How much of a title is shown, in characters.
const LONGEST: usize = 80;

/// The languages that a graph is drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Dot,
    Mermaid,
}

#[derive(Debug)]
struct Vertex<'a> {
    /// Title, class, id; a node that a link names and that does not exist has only an id.
    lines: Vec<Cow<'a, str>>,
    /// Whether it is an output node. A node of an undeclared class counts as one if no other node uses it.
    output: bool,
    exists: bool,
    needed: bool,
}

#[derive(Debug)]
struct Wire {
    /// The wire type; if that is unknown, the input's name and the slot.
    label: String,
    needed: bool,
}

/// Draws a prompt: each node with its title, class and id, each link with its type, outputs marked. What no output
/// needs is dashed, and a node that a link names without there being one is dotted. Declarations are not needed; where
/// there are none, a link is labelled with its slot, and a node that nothing uses is taken for an output.
pub fn draw(prompt: &Prompt, schemas: &dyn Schemas, format: Format) -> String {
    let graph = graph(prompt, schemas);
    match format {
        Format::Dot => dot(&graph),
        Format::Mermaid => mermaid(&graph),
    }
}

fn graph<'a>(prompt: &'a Prompt, schemas: &'a dyn Schemas) -> DiGraph<Vertex<'a>, Wire> {
    let mut graph = DiGraph::new();
    let mut index: HashMap<&NodeId, NodeIndex> = HashMap::new();
    for (id, node) in &prompt.nodes {
        let schema = schemas.schema(&node.class_type);
        let title = node.title.as_deref().or(schema.map(|schema| schema.display_name.as_str())).unwrap_or_default();
        let mut lines = vec![format!("{} #{id}", node.class_type).into()];
        if !title.is_empty() && title != node.class_type {
            lines.insert(0, title.into());
        }
        let output = schema.is_some_and(|schema| schema.output_node);
        index.insert(id, graph.add_node(Vertex { lines, output, exists: true, needed: false }));
    }
    for (id, node) in &prompt.nodes {
        for (name, given) in &node.inputs {
            let Given::Link { node: from, slot } = given else { continue };
            let missing =
                || Vertex { lines: vec![format!("#{from}").into()], output: false, exists: false, needed: false };
            let start = *index.entry(from).or_insert_with(|| graph.add_node(missing()));
            let outputs = prompt.nodes.get(from).and_then(|from| schemas.schema(&from.class_type));
            let given = outputs.and_then(|schema| schema.outputs.get(*slot)).map(|output| output.ty.clone());
            let wanted = || Some(schemas.schema(&node.class_type)?.input(name)?.kind.type_name().to_owned());
            let label = given.or_else(wanted).unwrap_or_else(|| format!("{name} ({slot})"));
            graph.add_edge(start, index[id], Wire { label, needed: false });
        }
    }
    for (id, node) in &prompt.nodes {
        let at = index[id];
        if schemas.schema(&node.class_type).is_none() && graph.neighbors(at).next().is_none() {
            graph[at].output = true;
        }
    }
    mark_needed(&mut graph);
    graph
}

fn mark_needed(graph: &mut DiGraph<Vertex<'_>, Wire>) {
    let mut needed: HashSet<NodeIndex> = HashSet::new();
    let mut search = Dfs::empty(Reversed(&*graph));
    for start in graph.node_indices().filter(|at| graph[*at].output) {
        search.move_to(start);
        while let Some(at) = search.next(Reversed(&*graph)) {
            needed.insert(at);
        }
    }
    for at in graph.node_indices() {
        graph[at].needed = needed.contains(&at);
    }
    for edge in graph.edge_indices() {
        graph[edge].needed = graph.edge_endpoints(edge).is_some_and(|(_, to)| needed.contains(&to));
    }
}

fn dot(graph: &DiGraph<Vertex<'_>, Wire>) -> String {
    let edge = |_, edge: petgraph::graph::EdgeReference<'_, Wire>| {
        let wire = edge.weight();
        format!("label=\"{}\"{}", dot_text(&wire.label), if wire.needed { "" } else { " style=dashed" })
    };
    let node = |_, (_, node): (NodeIndex, &Vertex<'_>)| {
        let lines: Vec<_> = node.lines.iter().map(|line| dot_text(line)).collect();
        let style = match node {
            Vertex { exists: false, .. } => " style=dotted color=red",
            Vertex { output: true, .. } => " peripheries=2",
            Vertex { needed: false, .. } => " style=dashed",
            _ => "",
        };
        format!("shape=box label=\"{}\"{style}", lines.join("\\n"))
    };
    let config = [Config::NodeNoLabel, Config::EdgeNoLabel, Config::RankDir(RankDir::LR)];
    format!("{:?}", Dot::with_attr_getters(graph, &config, &edge, &node))
}

/// A text for Graphviz, within double quotes.
fn dot_text(text: &str) -> String {
    let mut out = String::new();
    for c in shortened(text).chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            // Graphviz reads HTML's entities.
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    out
}

fn mermaid(graph: &DiGraph<Vertex<'_>, Wire>) -> String {
    let mut out = String::from("flowchart LR\n");
    for at in graph.node_indices() {
        let node = &graph[at];
        let lines: Vec<_> = node.lines.iter().map(|line| mermaid_text(line)).collect();
        let class = match node {
            Vertex { exists: false, .. } => ":::missing",
            Vertex { output: true, .. } => ":::output",
            Vertex { needed: false, .. } => ":::unused",
            _ => "",
        };
        let _ = writeln!(out, "    n{}[\"{}\"]{class}", at.index(), lines.join("<br/>"));
    }
    for edge in graph.edge_references() {
        let arrow = if edge.weight().needed { "-->" } else { "-.->" };
        let (from, to) = (edge.source().index(), edge.target().index());
        let _ = writeln!(out, "    n{from} {arrow}|\"{}\"| n{to}", mermaid_text(&edge.weight().label));
    }
    out.push_str(
        "    classDef output stroke-width:4px\n    classDef unused stroke-dasharray:5 5\n    \
         classDef missing stroke:#f00,stroke-dasharray:2 2\n",
    );
    out
}

/// A text for Mermaid, within double quotes. Characters with a meaning in Mermaid, Markdown or HTML are written as
/// `#number;`.
fn mermaid_text(text: &str) -> String {
    let mut out = String::new();
    for c in shortened(text).chars() {
        if c.is_alphanumeric() || " .,:-()/".contains(c) {
            out.push(c);
        } else if c.is_control() {
            out.push(' ');
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    out
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;
    use crate::object_info::ObjectInfo;
    use crate::workflow::{Context, LocalTime, read_value};

    fn drawn(nodes: Value, format: Format) -> String {
        let schemas = ObjectInfo::from_json(&json!({
            "Load": {"input": {}, "output": ["IMAGE"], "display_name": "Load It"},
            "Save": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": true},
        }));
        let context = Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() };
        draw(&read_value(&nodes, &context).unwrap().prompt, &schemas, format)
    }

    fn nodes() -> Value {
        json!({
            "1": {"class_type": "Load", "inputs": {}, "_meta": {"title": "a \"b\" \\ <c> & `d`\n#1"}},
            "2": {"class_type": "Save", "inputs": {"images": ["1", 0]}},
            "3": {"class_type": "Load", "inputs": {"x": ["gone", 7]}},
        })
    }

    #[test]
    fn dot_shows_types_and_what_is_needed() {
        let text = drawn(nodes(), Format::Dot);
        let expected = r##"digraph {
    rankdir="LR"
    0 [ shape=box label="a \"b\" \\ <c> &amp; `d` #1\nLoad #1"]
    1 [ shape=box label="Save #2" peripheries=2]
    2 [ shape=box label="Load It\nLoad #3" style=dashed]
    3 [ shape=box label="#gone" style=dotted color=red]
    0 -> 1 [ label="IMAGE"]
    3 -> 2 [ label="x (7)" style=dashed]
}
"##;
        assert_eq!(text, expected);
    }

    #[test]
    fn mermaid_escapes_what_would_mean_something() {
        let text = drawn(nodes(), Format::Mermaid);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("flowchart LR"));
        assert_eq!(lines.next(), Some("    n0[\"a #34;b#34; #92; #60;c#62; #38; #96;d#96; #35;1<br/>Load #35;1\"]"));
        assert!(text.contains("    n1[\"Save #35;2\"]:::output\n"), "{text}");
        assert!(text.contains("    n2[\"Load It<br/>Load #35;3\"]:::unused\n"), "{text}");
        assert!(text.contains("    n0 -->|\"IMAGE\"| n1\n"), "{text}");
        assert!(text.contains("    n3 -.->|\"x (7)\"| n2\n"), "{text}");
    }

    #[test]
    fn unknown_classes_are_drawn_from_the_links() {
        let text = drawn(
            json!({"a": {"class_type": "X", "inputs": {}}, "b": {"class_type": "Y", "inputs": {"in": ["a", 1]}}}),
            Format::Dot,
        );
        assert!(text.contains("0 [ shape=box label=\"X #a\"]"), "{text}");
        assert!(text.contains("1 [ shape=box label=\"Y #b\" peripheries=2]"), "{text}");
        assert!(text.contains("0 -> 1 [ label=\"in (1)\"]"), "{text}");
    }

    #[test]
    fn cycles_and_long_titles_are_drawn() {
        let title = "ä".repeat(1000);
        let text =
            drawn(json!({"1": {"class_type": "X", "inputs": {"x": ["1", 0]}, "_meta": {"title": title}}}), Format::Dot);
        assert!(text.contains(&format!("\"{}…\\nX #1\"", "ä".repeat(LONGEST))), "{text}");
        assert!(text.contains("0 -> 0"), "{text}");
    }
}
