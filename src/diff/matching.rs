//! Which node of one workflow is which of another, whatever their ids.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use redraft_engine::prompt::{Given, NodeId, Prompt, PromptNode};
use serde_json::Value as Json;

use crate::compare::changed::same;
use crate::compare::upstream::sources_first;

/// Among how many nodes of a class the most alike is looked for.
const CANDIDATES: usize = 500;

/// For nodes of `a` their counterparts in `b`: first those of the same class with equal inputs, up to the sources; then those of the same
/// class that are most alike.
pub(super) fn counterparts(a: &Prompt, b: &Prompt) -> IndexMap<NodeId, NodeId> {
    let mut matching = Matching { a, b, found: IndexMap::new(), taken: HashSet::new() };
    matching.equal_ones();
    matching.most_alike();
    matching.found
}

type Digest = blake3::Hash;

struct Matching<'p> {
    a: &'p Prompt,
    b: &'p Prompt,
    found: IndexMap<NodeId, NodeId>,
    taken: HashSet<&'p NodeId>,
}

impl<'p> Matching<'p> {
    fn equal_ones(&mut self) {
        let (of_a, of_b) = (digests(self.a), digests(self.b));
        let mut by_digest: HashMap<Digest, Vec<&NodeId>> = HashMap::new();
        for id in self.b.nodes.keys() {
            by_digest.entry(of_b[id]).or_default().push(id);
        }
        for id in self.a.nodes.keys() {
            let Some(open) = by_digest.get_mut(&of_a[id]).filter(|open| !open.is_empty()) else { continue };
            let at = open.iter().position(|other| *other == id).unwrap_or(0);
            let other = open.remove(at);
            self.take(id, other);
        }
    }

    fn most_alike(&mut self) {
        let (roles_a, roles_b) = (roles(self.a), roles(self.b));
        let mut by_class: HashMap<&str, Vec<&'p NodeId>> = HashMap::new();
        for (id, node) in &self.b.nodes {
            by_class.entry(&node.class_type).or_default().push(id);
        }
        // Sources first: whose sources are matched is known better.
        for id in sources_first(self.a) {
            if self.found.contains_key(id) {
                continue;
            }
            let node = &self.a.nodes[id];
            let open = by_class.get(node.class_type.as_str()).into_iter().flatten().copied();
            let open: Vec<_> = open.filter(|other| !self.taken.contains(other)).take(CANDIDATES).collect();
            let score = |other: &NodeId| {
                let shared = roles_a.get(id).zip(roles_b.get(other)).map_or(0, |(a, b)| a.intersection(b).count());
                3 * shared + 3 * usize::from(id == other) + self.likeness(node, &self.b.nodes[other])
            };
            // Of those that are equally alike the first.
            let best = open.into_iter().rev().max_by_key(|other| score(other));
            if let Some(other) = best {
                self.take(id, other);
            }
        }
    }

    fn likeness(&self, a: &PromptNode, b: &PromptNode) -> usize {
        let inputs = a.inputs.iter().filter_map(|(name, given)| Some((given, b.inputs.get(name)?)));
        let of_inputs = inputs.map(|(a, b)| match (a, b) {
            (Given::Link { node: from, slot: x }, Given::Link { node: to, slot: y }) => {
                4 * usize::from(x == y && self.found.get(from) == Some(to))
            }
            (Given::Constant(x), Given::Constant(y)) => usize::from(same(x, y)),
            _ => 0,
        });
        of_inputs.sum::<usize>() + if a.title.is_some() && a.title == b.title { 2 } else { 0 }
    }

    fn take(&mut self, a: &NodeId, b: &'p NodeId) {
        self.found.insert(a.clone(), b.clone());
        self.taken.insert(b);
    }
}

/// By node: what it computes, as a digest of class, constants and the same of its sources. In a cycle a link counts by its slot alone.
fn digests(prompt: &Prompt) -> HashMap<&NodeId, Digest> {
    let mut all: HashMap<&NodeId, Digest> = HashMap::new();
    for id in sources_first(prompt) {
        let node = &prompt.nodes[id];
        let mut inputs: Vec<_> = node.inputs.iter().collect();
        inputs.sort_by_key(|(name, _)| *name);
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(node.class_type.as_bytes());
        for (name, given) in inputs {
            add(name.as_bytes());
            match given {
                Given::Link { node, slot } => {
                    add(all.get(node).map_or(&[], |digest| digest.as_bytes().as_slice()));
                    add(&slot.to_le_bytes());
                }
                Given::Constant(value) | Given::Malformed(value) => add(written(value).as_bytes()),
            }
        }
        all.insert(id, hasher.finalize());
    }
    all
}

/// A constant as text; `8.0` as `8`.
fn written(value: &Json) -> String {
    match value.as_f64() {
        Some(float) if value.is_f64() && float.fract() == 0.0 && float.abs() < 2f64.powi(53) => {
            format!("{}", float as i64)
        }
        _ => value.to_string(),
    }
}

/// By node: the classes and inputs that use it.
fn roles(prompt: &Prompt) -> HashMap<&NodeId, HashSet<(&str, &str)>> {
    let mut all: HashMap<&NodeId, HashSet<(&str, &str)>> = HashMap::new();
    for node in prompt.nodes.values() {
        for (input, given) in &node.inputs {
            if let Some(source) = given.source() {
                all.entry(source).or_default().insert((&node.class_type, input));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Nodes as id, class and inputs; an input that is an array of two is a link.
    fn prompt(nodes: &[(&str, &str, Json)]) -> Prompt {
        let given = |value: &Json| match value.as_array().map(Vec::as_slice) {
            Some([node, slot]) => Given::link(node.as_str().unwrap_or_default(), slot.as_u64().unwrap_or(0) as usize),
            _ => Given::Constant(value.clone()),
        };
        let node = |class: &str, inputs: &Json| PromptNode {
            class_type: class.to_owned(),
            inputs: inputs.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), given(v))).collect(),
            title: None,
        };
        Prompt { nodes: nodes.iter().map(|(id, class, inputs)| ((*id).into(), node(class, inputs))).collect() }
    }

    fn pairs(a: &Prompt, b: &Prompt) -> Vec<(String, String)> {
        let mut pairs: Vec<_> = counterparts(a, b).into_iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn renumbered_nodes_are_found_also_where_something_was_changed() {
        let a = prompt(&[
            ("1", "Load", json!({ "name": "x" })),
            ("2", "Encode", json!({ "clip": ["1", 0], "text": "a cat" })),
            ("3", "Encode", json!({ "clip": ["1", 0], "text": "text" })),
            ("4", "Sample", json!({ "positive": ["2", 0], "negative": ["3", 0], "cfg": 8 })),
            ("5", "Save", json!({ "images": ["4", 0] })),
        ]);
        // Other ids, another order, another cfg, and other texts in both: their use tells which is which.
        let b = prompt(&[
            ("50", "Save", json!({ "images": ["40", 0] })),
            ("30", "Encode", json!({ "clip": ["10", 0], "text": "watermark" })),
            ("20", "Encode", json!({ "clip": ["10", 0], "text": "a dog" })),
            ("10", "Load", json!({ "name": "x" })),
            ("40", "Sample", json!({ "positive": ["20", 0], "negative": ["30", 0], "cfg": 7.5 })),
        ]);
        let expected = [("1", "10"), ("2", "20"), ("3", "30"), ("4", "40"), ("5", "50")];
        assert_eq!(pairs(&a, &b), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn a_cycle_and_a_link_to_nowhere_end() {
        let a = prompt(&[("1", "X", json!({ "a": ["2", 0] })), ("2", "X", json!({ "a": ["1", 0], "b": ["9", 0] }))]);
        assert_eq!(pairs(&a, &a).len(), 2);
    }
}
