//! What nodes need, by the links of a prompt.

use std::collections::HashSet;

use redraft_engine::prompt::{Given, NodeId, Prompt};

/// These nodes and all that they need.
pub(crate) fn with_sources<'p>(prompt: &'p Prompt, of: impl IntoIterator<Item = &'p NodeId>) -> HashSet<&'p NodeId> {
    let mut open: Vec<&NodeId> = of.into_iter().collect();
    let mut found = HashSet::new();
    while let Some(id) = open.pop() {
        let Some((id, node)) = prompt.nodes.get_key_value(id) else { continue };
        if found.insert(id) {
            open.extend(node.inputs.values().filter_map(Given::source));
        }
    }
    found
}

/// All nodes, each behind those that it needs; in a cycle somewhere.
pub(crate) fn sources_first(prompt: &Prompt) -> Vec<&NodeId> {
    let (mut done, mut begun) = (Vec::with_capacity(prompt.nodes.len()), HashSet::new());
    for id in prompt.nodes.keys() {
        // Each node twice: to look at what it needs, and when that is done.
        let mut open = vec![(id, false)];
        while let Some((id, seen)) = open.pop() {
            if seen {
                done.push(id);
                continue;
            }
            let Some((id, node)) = prompt.nodes.get_key_value(id) else { continue };
            if begun.insert(id) {
                open.push((id, true));
                open.extend(node.inputs.values().filter_map(Given::source).map(|source| (source, false)));
            }
        }
    }
    done
}

/// The prompt without the nodes that these do not need.
pub(crate) fn only_needed(prompt: &Prompt, by: &[NodeId]) -> Prompt {
    let needed = with_sources(prompt, by);
    let kept = prompt.nodes.iter().filter(|(id, _)| needed.contains(id));
    Prompt { nodes: kept.map(|(id, node)| (id.clone(), node.clone())).collect() }
}
