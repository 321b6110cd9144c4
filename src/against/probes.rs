//! Nodes that are put behind others, so that both sides show what leaves these.

use std::collections::{HashMap, HashSet};

use redraft_engine::node::Registry;
use redraft_engine::prompt::{Given, NodeId, Prompt, PromptNode};
use redraft_engine::stock::Known;
use serde_json::json;

/// What a probe's nodes are called; no editor gives such ids.
const PROBE: &str = "redraft-probe";

/// A node whose outputs can be looked at, and the slots where that is so.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Probe {
    pub(super) node: NodeId,
    /// Slot and wire type.
    slots: Vec<(usize, String)>,
}

/// The nodes among `ids` that have outputs which can be looked at.
pub(super) fn probes(prompt: &Prompt, registry: &Registry, ids: &[NodeId]) -> Vec<Probe> {
    let known = Known(registry);
    let probe = |id: &NodeId| {
        let class = known.declared(&prompt.nodes.get(id)?.class_type)?;
        let types = class.outputs.iter().map(|output| output.ty.clone());
        let slots: Vec<_> = types.enumerate().filter(|(_, ty)| is_shown(ty)).collect();
        (!slots.is_empty()).then(|| Probe { node: id.clone(), slots })
    };
    ids.iter().filter_map(probe).collect()
}

fn is_shown(ty: &str) -> bool {
    matches!(ty, "IMAGE" | "MASK" | "LATENT" | "STRING" | "INT" | "FLOAT" | "BOOLEAN")
}

impl Probe {
    /// The prompt with nodes that show the outputs.
    pub(super) fn put_into(&self, prompt: &Prompt) -> Prompt {
        let mut prompt = prompt.clone();
        for (slot, ty) in &self.slots {
            let shown = format!("{PROBE}-{slot}");
            let mut from = Given::link(self.node.clone(), *slot);
            if ty == "MASK" {
                let picture = format!("{PROBE}-{slot}-picture");
                add(&mut prompt, &picture, "MaskToImage", [("mask", from)]);
                from = Given::link(picture, 0);
            }
            match ty.as_str() {
                "IMAGE" | "MASK" => add(&mut prompt, &shown, "PreviewImage", [("images", from)]),
                "LATENT" => {
                    let prefix = Given::Constant(json!(PROBE));
                    add(&mut prompt, &shown, "SaveLatent", [("samples", from), ("filename_prefix", prefix)]);
                }
                _ => add(&mut prompt, &shown, "PreviewAny", [("source", from)]),
            }
        }
        prompt
    }

    /// The ids of the nodes that show them.
    pub(super) fn shown(&self) -> Vec<NodeId> {
        self.slots.iter().map(|(slot, _)| NodeId::from(format!("{PROBE}-{slot}"))).collect()
    }

    /// What is looked at, for people.
    pub(super) fn types(&self) -> String {
        self.slots.iter().map(|(_, ty)| ty.as_str()).collect::<Vec<_>>().join(", ")
    }
}

fn add<const N: usize>(prompt: &mut Prompt, id: &str, class: &str, inputs: [(&str, Given); N]) {
    let inputs = inputs.into_iter().map(|(name, given)| (name.to_owned(), given)).collect();
    let node = PromptNode { class_type: class.to_owned(), inputs, title: None };
    prompt.nodes.insert(NodeId::from(id), node);
}

/// Which nodes each node needs, itself with them.
pub(super) struct Needs(HashMap<NodeId, HashSet<NodeId>>);

impl Needs {
    /// `order` has sources first.
    pub(super) fn of(prompt: &Prompt, order: &[NodeId]) -> Self {
        let mut all: HashMap<NodeId, HashSet<NodeId>> = HashMap::new();
        for id in order {
            let inputs = prompt.nodes.get(id).into_iter().flat_map(|node| node.inputs.values());
            let sources = inputs.filter_map(|given| all.get(given.source()?));
            let mut needs: HashSet<NodeId> = sources.flatten().cloned().collect();
            needs.insert(id.clone());
            all.insert(id.clone(), needs);
        }
        Self(all)
    }

    pub(super) fn needs(&self, node: &NodeId, other: &NodeId) -> bool {
        self.0.get(node).is_some_and(|needs| needs.contains(other))
    }
}
