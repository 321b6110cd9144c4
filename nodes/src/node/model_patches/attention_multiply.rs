//! Factors on the attention projections of UNet and text encoder.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::files::delta::{Delta, Slot};
use crate::models::clip_names::slots;
use crate::recipes::{Clip, Model};

/// Multiplies the projections of all self-attention layers of the UNet.
#[derive(Node)]
#[node(category = "_for_testing/attention_experiments", experimental)]
struct UNetSelfAttentionMultiply {
    model: Model,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    q: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    k: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    v: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    out: f64,
}

impl Run for UNetSelfAttentionMultiply {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let Self { model, q, k, v, out } = self;
        let factors = [("attn1.to_q", q), ("attn1.to_k", k), ("attn1.to_v", v), ("attn1.to_out.0", out)];
        Ok(model_multiplied(model, &factors))
    }
}

/// Multiplies the projections of all cross-attention layers of the UNet.
#[derive(Node)]
#[node(category = "_for_testing/attention_experiments", experimental)]
struct UNetCrossAttentionMultiply {
    model: Model,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    q: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    k: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    v: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    out: f64,
}

impl Run for UNetCrossAttentionMultiply {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let Self { model, q, k, v, out } = self;
        let factors = [("attn2.to_q", q), ("attn2.to_k", k), ("attn2.to_v", v), ("attn2.to_out.0", out)];
        Ok(model_multiplied(model, &factors))
    }
}

/// Multiplies the projections of all attention layers of the text encoder.
#[derive(Node)]
#[node(category = "_for_testing/attention_experiments", experimental)]
struct CLIPAttentionMultiply {
    clip: Clip,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    q: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    k: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    v: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    out: f64,
}

impl Run for CLIPAttentionMultiply {
    type Out = Clip;

    fn run(self, _: &mut Cx) -> anyhow::Result<Clip> {
        let Self { clip, q, k, v, out } = self;
        let factors =
            [("self_attn.q_proj", q), ("self_attn.k_proj", k), ("self_attn.v_proj", v), ("self_attn.out_proj", out)];
        Ok(clip.changed(|_, weights| multiplied(slots(weights), &factors)))
    }
}

/// Multiplies the outputs of attention layers, spatial (structural) and temporal. Stable Diffusion 1.x has no temporal
/// ones.
#[derive(Node)]
#[node(category = "_for_testing/attention_experiments", experimental)]
struct UNetTemporalAttentionMultiply {
    model: Model,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    self_structural: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    #[expect(dead_code, reason = "no supported family attends over time")]
    self_temporal: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    cross_structural: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    #[expect(dead_code, reason = "no supported family attends over time")]
    cross_temporal: f64,
}

impl Run for UNetTemporalAttentionMultiply {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let Self { model, self_structural, cross_structural, .. } = self;
        let factors = [("attn1.to_out.0", self_structural), ("attn2.to_out.0", cross_structural)];
        Ok(model_multiplied(model, &factors))
    }
}

/// Those of the tensors multiplied that belong to layers of these names.
fn multiplied(tensors: impl IntoIterator<Item = (String, Slot)>, factors: &[(&str, f64)]) -> Delta {
    let factor = |name: &str| {
        let layer = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias"))?;
        factors.iter().find(|(suffix, _)| layer.ends_with(suffix)).map(|(_, factor)| *factor)
    };
    Delta::multiply(tensors.into_iter().filter_map(|(name, slot)| Some((slot, factor(&name)?))))
}

/// A model with layers of its network multiplied.
fn model_multiplied(model: Model, factors: &[(&str, f64)]) -> Model {
    let weights = &model.part.weights;
    let tensors = weights.names().into_iter().map(|name| (weights.full_name(&name), name));
    let delta = multiplied(tensors.map(|(full, name)| (name, Slot::whole(full))), factors);
    model.changed(delta)
}
