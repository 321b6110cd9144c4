//! Factors on the attention projections of UNet and text encoder.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::diffusion::patch::{Over, Patch};
use crate::recipes::{Clip, Model};
use crate::sampling::hooks::Hook;

/// Multiplies the projections of all self-attention layers of the UNet.
#[derive(Node)]
#[node(category = "_for_testing/attention_experiments", experimental)]
struct UNetSelfAttentionMultiply {
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

impl Run for UNetSelfAttentionMultiply {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(Factors { over: Over::Pixels, factors: [self.q, self.k, self.v, self.out] }))
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
        Ok(self.model.with_hook(Factors { over: Over::Text, factors: [self.q, self.k, self.v, self.out] }))
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
        let attention_factors = [clip.attention_factors, vec![[q, k, v, out]]].concat();
        Ok(Clip { attention_factors, ..clip })
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
        let outputs = |over, factor| Factors { over, factors: [1.0, 1.0, 1.0, factor] };
        let model = self.model.with_hook(outputs(Over::Pixels, self.self_structural));
        Ok(model.with_hook(outputs(Over::Text, self.cross_structural)))
    }
}

#[derive(Debug)]
struct Factors {
    over: Over,
    factors: [f64; 4],
}

impl Hook for Factors {
    fn patch(&self) -> Option<&dyn Patch> {
        Some(self)
    }
}

impl Patch for Factors {
    fn attention_factors(&self, over: Over) -> Option<[f64; 4]> {
        (over == self.over).then_some(self.factors)
    }
}
