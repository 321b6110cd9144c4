//! What is other in one workflow than in another, node by node.

use indexmap::IndexMap;
use redraft_engine::prompt::{Given, NodeId, Prompt};
use serde::Serialize;
use serde_json::Value as Json;

/// How many characters of a value are shown.
const LONGEST: usize = 60;

/// What is other than it was, by node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changed(IndexMap<NodeId, Vec<Change>>);

/// One thing that is other than it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    /// The input that it is about.
    pub(crate) input: Option<String>,
    /// `cfg is 7.0 and was 8.0`.
    pub(crate) words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChangeKind {
    /// A constant.
    Parameter,
    /// Where an input comes from.
    Link,
    /// The content of a model file.
    Model,
    /// The content of a picture that is read.
    Picture,
}

impl Changed {
    /// What is other in `now` than in `before`. `ids` says which node of `now` is which of `before`.
    pub(crate) fn between(before: &Prompt, now: &Prompt, ids: &IndexMap<NodeId, NodeId>) -> Self {
        let mut changed = Self::default();
        for (old, new) in ids {
            let (Some(a), Some(b)) = (before.nodes.get(old), now.nodes.get(new)) else { continue };
            let names = a.inputs.keys().chain(b.inputs.keys().filter(|name| !a.inputs.contains_key(*name)));
            for name in names {
                let (was, is) = (a.inputs.get(name), b.inputs.get(name));
                if let Some(change) = change(name, was, is, ids) {
                    changed.add(new, change);
                }
            }
        }
        changed
    }

    /// What is other in `now` than in `before`, whose nodes have the same ids.
    pub(crate) fn between_same(before: &Prompt, now: &Prompt) -> Self {
        let both = before.nodes.keys().filter(|id| now.nodes.contains_key(*id));
        Self::between(before, now, &both.map(|id| (id.clone(), id.clone())).collect())
    }

    pub(crate) fn add(&mut self, node: &NodeId, change: Change) {
        self.0.entry(node.clone()).or_default().push(change);
    }

    pub(crate) fn of(&self, node: &NodeId) -> &[Change] {
        self.0.get(node).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &[Change])> {
        self.0.iter().map(|(id, changes)| (id, changes.as_slice()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn change(name: &str, was: Option<&Given>, is: Option<&Given>, ids: &IndexMap<NodeId, NodeId>) -> Option<Change> {
    let kind = match (was, is) {
        (None, None) => return None,
        (Some(Given::Link { node: a, slot: from }), Some(Given::Link { node: b, slot: to })) => {
            if from == to && ids.get(a) == Some(b) {
                return None;
            }
            ChangeKind::Link
        }
        (Some(Given::Link { .. }), _) | (_, Some(Given::Link { .. })) => ChangeKind::Link,
        (Some(Given::Constant(a) | Given::Malformed(a)), Some(Given::Constant(b) | Given::Malformed(b))) => {
            if same(a, b) {
                return None;
            }
            ChangeKind::Parameter
        }
        _ => ChangeKind::Parameter,
    };
    let words = format!("{name} is {} and was {}", shown(is), shown(was));
    Some(Change { kind, input: Some(name.to_owned()), words })
}

/// Whether two constants are the same: `8` is `8.0`.
pub(crate) fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(x), Json::Number(y)) => x == y || (x.is_f64() || y.is_f64()) && x.as_f64() == y.as_f64(),
        (a, b) => a == b,
    }
}

/// What an input was given, for people.
pub(crate) fn shown(given: Option<&Given>) -> String {
    match given {
        None => "not set".to_owned(),
        Some(Given::Link { node, slot }) => format!("linked to node {node}, slot {slot}"),
        Some(Given::Constant(value) | Given::Malformed(value)) => shortened(&value.to_string()),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use redraft_engine::prompt::PromptNode;
    use serde_json::json;

    use super::*;

    fn prompt(cfg: Json, from: usize) -> Prompt {
        let inputs = [("cfg".to_owned(), Given::Constant(cfg)), ("latent".to_owned(), Given::link("5", from))];
        let node = |class: &str, inputs: &[(String, Given)]| PromptNode {
            class_type: class.to_owned(),
            inputs: inputs.iter().cloned().collect(),
            title: None,
        };
        Prompt { nodes: [("3".into(), node("KSampler", &inputs)), ("5".into(), node("X", &[]))].into_iter().collect() }
    }

    #[test]
    fn constants_and_links_that_differ_are_told() {
        assert!(Changed::between_same(&prompt(json!(8), 0), &prompt(json!(8.0), 0)).is_empty());
        let changed = Changed::between_same(&prompt(json!(8), 0), &prompt(json!(7.5), 1));
        let changes: Vec<_> =
            changed.of(&"3".into()).iter().map(|change| (change.kind, change.words.as_str())).collect();
        assert_eq!(
            changes,
            [
                (ChangeKind::Parameter, "cfg is 7.5 and was 8"),
                (ChangeKind::Link, "latent is linked to node 5, slot 1 and was linked to node 5, slot 0"),
            ]
        );
    }

    #[test]
    fn whole_numbers_are_compared_in_full() {
        assert!(!same(&json!(u64::MAX), &json!(u64::MAX - 1)));
        assert!(same(&json!(1), &json!(1.0)) && !same(&json!("1"), &json!(1)));
    }
}
