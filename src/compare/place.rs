//! Where an output is: node, slot and part.

use std::fmt;

use redraft_engine::prompt::{NodeId, Prompt};

use crate::out::plain;

/// One output of a node, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: NodeId,
    pub(crate) class: Option<String>,
    /// What the user calls the node, where that says more than its class.
    pub(crate) title: Option<String>,
    /// None of a picture that it saved.
    pub(crate) slot: Option<usize>,
    /// `samples`, `0/cond`; the file of a saved picture.
    pub(crate) part: String,
}

impl Place {
    /// From a key, `node/slot[/part]`. Ids may have slashes in them: the prompt tells.
    pub(crate) fn of_key(key: &str, prompt: &Prompt) -> Self {
        let parsed = |at: usize| {
            let (slot, part) = key[at + 1..].split_once('/').unwrap_or((&key[at + 1..], ""));
            Some((&key[..at], slot.parse().ok()?, part))
        };
        let mut splits = key.match_indices('/').filter_map(|(at, _)| parsed(at));
        let known = splits.clone().find(|(node, ..)| prompt.nodes.contains_key(*node));
        let (node, slot, part) = match known.or_else(|| splits.next()) {
            Some((node, slot, part)) => (node, Some(slot), part),
            None => (key, None, ""),
        };
        Self { slot, part: part.to_owned(), ..Self::of_node(&node.into(), prompt) }
    }

    /// A node as a whole.
    pub(crate) fn of_node(id: &NodeId, prompt: &Prompt) -> Self {
        let node = prompt.nodes.get(id);
        let class = node.map(|node| node.class_type.clone());
        let says_more = |title: &String| !class.as_ref().is_some_and(|class| is_same(title, class));
        let title = node.and_then(|node| node.title.clone()).filter(says_more);
        Self { node: id.clone(), class, title, slot: None, part: String::new() }
    }

    /// The node alone: `node 16 (KSampler "draw over it")`.
    pub(crate) fn node_in_words(&self) -> String {
        let mut words = format!("node {}", plain(self.node.as_str()));
        if let Some(class) = &self.class {
            words.push_str(&format!(" ({}", plain(class)));
            if let Some(title) = &self.title {
                words.push_str(&format!(" \"{}\"", plain(title)));
            }
            words.push(')');
        }
        words
    }
}

/// Whether a title is a class's name, up to spaces and capitals: `VAE Decode`.
fn is_same(title: &str, class: &str) -> bool {
    title.replace(' ', "").eq_ignore_ascii_case(&class.replace(' ', ""))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.node_in_words())?;
        match (self.slot, self.part.as_str()) {
            (Some(slot), "") => write!(f, ", slot {slot}"),
            (Some(slot), part) => write!(f, ", slot {slot} ({})", plain(part)),
            (None, "") => Ok(()),
            (None, file) => write!(f, ", picture {}", plain(file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use redraft_engine::prompt::PromptNode;

    use super::*;

    #[test]
    fn keys_are_read_with_the_ids_of_the_prompt() {
        let node = |title: Option<&str>| PromptNode {
            class_type: "KSampler".to_owned(),
            inputs: Default::default(),
            title: title.map(str::to_owned),
        };
        let nodes = [("a/1".into(), node(Some("x\u{1b}y"))), ("7:2".into(), node(Some("KSampler")))];
        let prompt = Prompt { nodes: nodes.into_iter().collect() };
        let words = |key: &str| Place::of_key(key, &prompt).to_string();
        assert_eq!(words("a/1/0/samples"), "node a/1 (KSampler \"x\\u{1b}y\"), slot 0 (samples)");
        assert_eq!(words("7:2/1/#1/0/cond"), "node 7:2 (KSampler), slot 1 (#1/0/cond)");
        assert_eq!(words("9/0"), "node 9, slot 0");
        assert_eq!(words("nothing"), "node nothing");
    }
}
