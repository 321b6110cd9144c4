//! At which nodes a case expects something.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use redraft_engine::node::Registry;
use redraft_engine::prompt::{Given, NodeId, Prompt};
use redraft_engine::schema::{Kind, Schema};

use crate::case::Boundary;
use crate::dump::Taken;

/// The outputs that are expected, by node.
#[derive(Clone, Debug, Default)]
pub(super) struct Boundaries(IndexMap<NodeId, BTreeSet<usize>>);

impl Boundaries {
    /// What enters the targets, and everything that nodes give that sample.
    pub(super) fn usual(prompt: &Prompt, targets: &[NodeId], registry: &Registry) -> Self {
        let mut all = Self::default();
        let sampling = |class: &str| registry.class(class).is_some_and(|class| samples(&class.schema));
        for (id, node) in &prompt.nodes {
            if sampling(&node.class_type) {
                all.add_whole(id, prompt, registry);
            }
        }
        for target in targets.iter().filter_map(|id| prompt.nodes.get(id)) {
            for given in target.inputs.values() {
                if let Given::Link { node, slot } = given {
                    all.0.entry(node.clone()).or_default().insert(*slot);
                }
            }
        }
        all
    }

    /// Everything that these nodes give.
    pub(super) fn chosen(nodes: &[NodeId], prompt: &Prompt, registry: &Registry) -> Self {
        let mut all = Self::default();
        nodes.iter().for_each(|id| all.add_whole(id, prompt, registry));
        all
    }

    /// Leaves out the nodes that were not run: what is behind a switch, say.
    pub(super) fn keep_done(&mut self, taken: &Taken) {
        self.0.retain(|id, _| taken.order.contains(id));
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.0.keys()
    }

    fn add_whole(&mut self, id: &NodeId, prompt: &Prompt, registry: &Registry) {
        let class = prompt.nodes.get(id).and_then(|node| registry.class(&node.class_type));
        let outputs = class.map_or(0, |class| class.schema.outputs.len());
        self.0.entry(id.clone()).or_default().extend(0..outputs);
    }

    /// The part of what left the nodes that is expected.
    pub(super) fn of(&self, taken: &Taken) -> Taken {
        let is_in = |key: &str| {
            self.0.iter().any(|(node, slots)| {
                let slot = key.strip_prefix(node.as_str()).and_then(|rest| rest.strip_prefix('/'));
                let slot = slot.and_then(|rest| rest.split('/').next()).and_then(|slot| slot.parse().ok());
                slot.is_some_and(|slot| slots.contains(&slot))
            })
        };
        let tensors = taken.tensors.iter().filter(|(key, _)| is_in(key));
        let plain = taken.plain.iter().filter(|(key, _)| is_in(key));
        Taken {
            tensors: tensors.map(|(key, tensor)| (key.clone(), tensor.shallow_clone())).collect(),
            plain: plain.map(|(key, json)| (key.clone(), json.clone())).collect(),
            order: taken.order.clone(),
        }
    }

    pub(super) fn list(&self, prompt: &Prompt) -> Vec<Boundary> {
        let class = |id: &NodeId| prompt.nodes.get(id).map(|node| node.class_type.clone()).unwrap_or_default();
        let each = self.0.iter().map(|(node, slots)| Boundary {
            node: node.clone(),
            class_type: class(node),
            slots: slots.iter().copied().collect(),
        });
        each.collect()
    }
}

/// Whether a class samples: it gives a latent, and takes a sampler, noise or the name of a sampler, or stands among the samplers and takes a
/// model.
fn samples(schema: &Schema) -> bool {
    let gives_latent = schema.outputs.iter().any(|output| output.ty == "LATENT");
    let takes = |wanted: &str| {
        schema
            .inputs
            .iter()
            .any(|input| matches!(&input.kind, Kind::Socket(ty) if ty.split(',').any(|ty| ty == wanted)))
    };
    let named =
        schema.inputs.iter().any(|input| input.name == "sampler_name" && matches!(input.kind, Kind::Combo { .. }));
    let among = schema.category == "sampling" || schema.category.starts_with("sampling/");
    gives_latent && (takes("SAMPLER") || takes("NOISE") || named || among && (takes("MODEL") || takes("GUIDER")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn classes_that_sample_are_known_by_their_declarations() {
        let registry = Registry::linked().unwrap();
        let sampling: Vec<_> = registry.iter().map(|class| &class.schema).filter(|schema| samples(schema)).collect();
        let names: Vec<_> = sampling.iter().map(|schema| schema.class.as_str()).collect();
        for class in ["KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced"] {
            assert!(names.contains(&class), "{class} is not among {names:?}");
        }
        for class in
            ["VAEEncode", "EmptyLatentImage", "LatentUpscale", "KSamplerSelect", "BasicScheduler", "RandomNoise"]
        {
            assert!(!names.contains(&class), "{class} does not sample");
        }
    }
}
