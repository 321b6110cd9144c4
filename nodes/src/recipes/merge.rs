//! Models and text encoders that are merged: each weight of one with the other's of the same name.

use std::collections::HashMap;

use anyhow::{Result, anyhow, ensure};

use super::model::{Clip, Model};
use super::saving::NO_TEXT_ENCODER;
use crate::files::delta::{Delta, Slot};
use crate::files::merge::{Factors, Pair};
use crate::files::weights::Weights;
use crate::lora::layers::{self, Layer};

impl Model {
    /// The model with the weights of `other` added to its own; `factors` is told a weight's name within the network
    /// (`input_blocks.0.0.weight`).
    ///
    /// Weights that only one of the two has stay as they are, and so do those that belong to no layer.
    pub fn merged(self, other: &Model, factors: impl Fn(&str) -> Factors) -> Model {
        let (own, theirs) = (&self.part.weights, &other.part.weights);
        let pair = |name: String| {
            let merged = own.contains(&name) && is_of_a_layer(own, &name);
            merged.then(|| Pair { own: whole(own, &name), other: whole(theirs, &name), factors: factors(&name) })
        };
        let pairs: Vec<_> = theirs.names().into_iter().filter_map(pair).collect();
        if pairs.is_empty() {
            tracing::warn!(
                "{} and {} have no weight of one name, and merging them changes nothing; merge models of one family",
                own.path().display(),
                theirs.path().display()
            );
        }
        warn_of_shapes(own, theirs, &pairs);
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
        let none = || anyhow!(NO_TEXT_ENCODER);
        let theirs = other.text.as_ref().ok_or_else(none)?;
        let mut common = 0;
        ensure!(self.text.is_some(), none());
        let merged = self.changed(|key, weights| {
            let of_key = theirs.recipe.encoders.iter().zip(&theirs.encoders).find(|(usage, _)| usage.key == key);
            let Some((_, Some(theirs))) = of_key else { return Delta::new([0; 32], []) };
            common += 1;
            let own = layers::encoder(key, false, weights);
            let own: HashMap<_, _> = own.into_iter().map(|layer| (layer.short, layer.slot)).collect();
            let their = layers::encoder(key, false, theirs).into_iter().filter(|layer| !is_left_out(&layer.short));
            let pair = |layer: Layer| Some(Pair { own: own.get(&layer.short)?.clone(), other: layer.slot, factors });
            let pairs: Vec<_> = their.filter_map(pair).collect();
            warn_of_shapes(weights, theirs, &pairs);
            Delta::merge(theirs, pairs)
        });
        ensure!(common > 0, "the two have no text encoder of one kind; merge encoders of one family");
        Ok(merged)
    }
}

/// Whether a tensor belongs to a layer, which has no layers within it. ComfyUI changes no others: tokens and modulations that stand beside
/// layers stay the first model's.
fn is_of_a_layer(weights: &Weights, name: &str) -> bool {
    let Some((layer, _)) = name.rsplit_once('.') else { return false };
    weights.at(layer).names().iter().all(|name| !name.contains('.'))
}

/// Says once which weights are not added, as the two models have them in other shapes.
fn warn_of_shapes(own: &Weights, other: &Weights, pairs: &[Pair]) {
    let differs = |pair: &&Pair| {
        let shapes = (own.part_shape(&pair.own), other.part_shape(&pair.other));
        matches!(shapes, (Ok(own), Ok(other)) if own != other)
    };
    let differing: Vec<&str> = pairs.iter().filter(differs).map(|pair| pair.other.name.as_str()).collect();
    if let Some(first) = differing.first() {
        let more = if differing.len() > 1 { ", …" } else { "" };
        tracing::warn!(
            "{} of the {} weights that are merged have another shape in {} than in {}, and are not added: {first}{more}",
            differing.len(),
            pairs.len(),
            other.path().display(),
            own.path().display()
        );
    }
}

/// What ComfyUI leaves as it is, and names that are no weights of its networks.
fn is_left_out(name: &str) -> bool {
    ["position_ids", "logit_scale", "spiece_model"].iter().any(|end| name.ends_with(end))
}
