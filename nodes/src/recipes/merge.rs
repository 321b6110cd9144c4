//! Models and text encoders that are merged: each weight of one with the other's of the same name.

use std::collections::HashMap;

use anyhow::{Result, anyhow, ensure};

use super::model::{Clip, Model};
use crate::files::delta::{Delta, Slot};
use crate::files::merge::{Factors, Pair};
use crate::files::weights::Weights;
use crate::lora::layers;
use crate::models::clip_names;

impl Model {
    /// The model with the weights of `other` added to its own; `factors` is told a weight's name within the network
    /// (`input_blocks.0.0.weight`).
    ///
    /// Weights that only one of the two has stay as they are.
    pub fn merged(self, other: &Model, factors: impl Fn(&str) -> Factors) -> Model {
        let (own, theirs) = (&self.part.weights, &other.part.weights);
        let pair = |name: String| {
            own.contains(&name).then(|| Pair {
                own: whole(own, &name),
                other: whole(theirs, &name),
                factors: factors(&name),
            })
        };
        let pairs: Vec<_> = theirs.names().into_iter().filter_map(pair).collect();
        if pairs.is_empty() {
            tracing::warn!(
                "{} and {} have no weight of one name, and merging them changes nothing; merge models of one family",
                own.path().display(),
                theirs.path().display()
            );
        }
        let delta = Delta::merge(theirs, pairs);
        self.changed(delta)
    }
}

fn whole(weights: &Weights, name: &str) -> Slot {
    Slot::whole(weights.full_name(name))
}

impl Clip {
    /// The text encoders with the weights of `other`'s encoders of the same kinds added to their own.
    ///
    /// # Errors
    /// If one of the two holds no text encoder, or they have none in common.
    pub fn merged(self, other: &Clip, factors: Factors) -> Result<Clip> {
        let none = || anyhow!("ERROR: clip input is invalid: None\n\nOne of the two files holds no text encoder; merge others.");
        let (own, other) = (self.complete(), other.clone().complete());
        let theirs = other.text.as_ref().ok_or_else(none)?;
        let mut common = 0;
        ensure!(own.text.is_some(), none());
        let merged = own.changed(|key, weights| {
            let of_key = theirs.recipe.encoders.iter().zip(&theirs.encoders).find(|(usage, _)| usage.key == key);
            let Some((_, Some(theirs))) = of_key else { return Delta::new([0; 32], []) };
            common += 1;
            let own = layers::encoder(key, false, weights);
            let own: HashMap<_, _> = own.into_iter().map(|layer| (layer.short, layer.slot)).collect();
            let pairs = layers::encoder(key, false, theirs).into_iter().filter(|layer| !is_left_out(&layer.short));
            Delta::merge(
                theirs,
                pairs.filter_map(|layer| {
                    Some(Pair { own: own.get(&layer.short)?.clone(), other: layer.slot, factors })
                }),
            )
        });
        ensure!(common > 0, "the two have no text encoder of one kind; merge encoders of one family");
        Ok(merged)
    }

    /// The same, where the projections that CLIP's files leave out are there: ComfyUI's networks have them as identities.
    fn complete(self) -> Clip {
        self.changed(|_, weights| match clip_names::missing_projection(weights) {
            Some((name, width)) => Delta::identity(name, width),
            None => Delta::new([0; 32], []),
        })
    }
}

/// What ComfyUI leaves as it is, and names that are no weights of its networks.
fn is_left_out(name: &str) -> bool {
    name.ends_with(".position_ids") || name.ends_with("logit_scale")
}
