//! Models and text encoders that are merged: each weight of one with the other's of the same name.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};

use super::model::{Clip, Model, NO_TEXT_ENCODER};
use crate::files::delta::{Delta, Slot};
use crate::files::merge::{Factors, Pair};
use crate::files::weights::Weights;
use crate::lora::layers::{self, Layer};
use crate::ops::layers::ensure_unscaled;

/// How often files are read for a weight, at most. Merges of merges double it.
const MOST_READS: u64 = 1024;

impl Model {
    /// The model with the weights of `other` added to its own; `factors` is told a weight's name within the network
    /// (`input_blocks.0.0.weight`).
    ///
    /// Weights that only one of the two has stay as they are, and so do those that belong to no layer.
    ///
    /// # Errors
    /// If weights are of 8 bits with a scale, or too many merges lie over each other.
    pub fn merged(self, other: &Model, factors: impl Fn(&str) -> Factors) -> Result<Model> {
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
        let delta = delta(own, theirs, pairs)?;
        let merged = self.changed(delta);
        ensure_readable(&merged.part.weights, "ModelSave")?;
        Ok(merged)
    }
}

fn whole(weights: &Weights, name: &str) -> Slot {
    Slot::whole(weights.full_name(name))
}

impl Clip {
    /// The text encoders with the weights of `other`'s encoders of the same kinds added to their own.
    ///
    /// # Errors
    /// If one of the two holds no text encoder, or they have none in common; if weights are of 8 bits with a scale, or too many merges lie
    /// over each other.
    pub fn merged(self, other: &Clip, factors: Factors) -> Result<Clip> {
        let theirs = other.text.as_ref().context(NO_TEXT_ENCODER)?;
        let mut common = 0;
        ensure!(self.text.is_some(), NO_TEXT_ENCODER);
        let merged = self.try_changed(|key, weights| {
            let of_key = theirs.recipe.encoders.iter().zip(&theirs.encoders).find(|(usage, _)| usage.key == key);
            let Some((_, Some(theirs))) = of_key else { return Ok(Delta::new([0; 32], [])) };
            common += 1;
            let own = layers::encoder(key, false, weights);
            let own: HashMap<_, _> = own.into_iter().map(|layer| (layer.short, layer.slot)).collect();
            let their = layers::encoder(key, false, theirs).into_iter().filter(|layer| !is_left_out(&layer.short));
            let pair = |layer: Layer| Some(Pair { own: own.get(&layer.short)?.clone(), other: layer.slot, factors });
            let pairs: Vec<_> = their.filter_map(pair).collect();
            warn_of_shapes(weights, theirs, &pairs);
            delta(weights, theirs, pairs)
        })?;
        ensure!(common > 0, "the two have no text encoder of one kind; merge encoders of one family");
        for weights in merged.text.iter().flat_map(|text| text.encoders.iter().flatten()) {
            ensure_readable(weights, "CLIPSave")?;
        }
        Ok(merged)
    }
}

/// The pairs as a delta over the first model.
///
/// # Errors
/// If weights that would change are of 8 bits with a scale in one of the two.
fn delta(own: &Weights, other: &Weights, pairs: Vec<Pair>) -> Result<Delta> {
    for pair in pairs.iter().filter(|pair| pair.changes()) {
        ensure_unscaled(own, &pair.own.name)?;
        ensure_unscaled(other, &pair.other.name)?;
    }
    Ok(Delta::merge(other, pairs))
}

/// Refuses merges of merges that would take long to read. `saves` is the class that saves them.
fn ensure_readable(weights: &Weights, saves: &str) -> Result<()> {
    let reads = weights.reads();
    ensure!(
        reads <= MOST_READS,
        "so many merges lie over each other that each weight would be read {reads} times, and {MOST_READS} are the most; save one that is \
         merged before with {saves}, and load that"
    );
    Ok(())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use redraft_engine::error::Unsupported;
    use tch::Tensor;

    use super::*;
    use crate::files::tensor_file;

    fn weights(dir: &std::path::Path, name: &str, tensors: &[&str]) -> Weights {
        let path = dir.join(name);
        let one = Tensor::from_slice(&[1f32]);
        tensor_file::save(&path, tensors.iter().map(|tensor| (*tensor, &one))).unwrap();
        Weights::open(path).unwrap()
    }

    fn halves(name: &str) -> Vec<Pair> {
        vec![Pair { own: Slot::whole(name), other: Slot::whole(name), factors: Factors::ratio(0.5) }]
    }

    #[test]
    fn matrices_with_a_scale_are_not_merged() {
        let dir = tempfile::tempdir().unwrap();
        let plain = weights(dir.path(), "plain.safetensors", &["net.a.weight", "net.b.weight"]).at("net");
        for scale in ["scale_weight", "weight_scale"] {
            let scale = format!("net.a.{scale}");
            let scaled = weights(dir.path(), "scaled.safetensors", &["net.a.weight", "net.b.weight", &scale]).at("net");
            for (own, other) in [(&plain, &scaled), (&scaled, &plain)] {
                let error = delta(own, other, halves("net.a.weight")).err().unwrap();
                assert!(error.is::<Unsupported>(), "{error}");
                let said = format!("net.a.weight in {} is of 8 bits", scaled.path().display());
                assert!(error.to_string().starts_with(&said), "{error}");
                assert!(!delta(own, other, halves("net.b.weight")).unwrap().is_empty());
                let mut unchanged = halves("net.a.weight");
                unchanged[0].factors = Factors::ratio(1.0);
                assert!(delta(own, other, unchanged).unwrap().is_empty());
            }
        }
    }

    #[test]
    fn merges_of_merges_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let one = weights(dir.path(), "one.safetensors", &["w"]);
        let merge = |own: &Weights, other: &Weights| own.changed(Delta::merge(other, halves("w")));
        // With itself it doubles.
        let (mut twice, mut count) = (one.clone(), 0);
        while ensure_readable(&twice, "ModelSave").is_ok() {
            (twice, count) = (merge(&twice, &twice), count + 1);
        }
        assert_eq!((twice.reads(), count), (2047, 10));
        let error = ensure_readable(&twice, "ModelSave").unwrap_err().to_string();
        assert!(error.contains("read 2047 times") && error.contains("with ModelSave"), "{error}");
        // Over one another it adds up, each within the last: the deepest that is let pass can be read.
        let mut nested = one.clone();
        while nested.reads() + 2 <= MOST_READS {
            nested = merge(&one, &nested);
        }
        ensure_readable(&nested, "ModelSave").unwrap();
        assert_eq!((nested.reads(), nested.tensor("w", &[1]).unwrap().double_value(&[0])), (1023, 1.0));
    }
}
