//! Whole models merged.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::files::merge::Factors;
use crate::recipes::Model;

/// Merges two models of one family: each weight is so much of the first model's, and the rest of the second's.
///
/// Nothing is read before something uses the merged model. LoRAs over either of the two are merged with them.
#[derive(Node)]
#[node(category = "advanced/model_merging", display = "ModelMergeSimple")]
struct ModelMergeSimple {
    /// The model whose sampling settings the merged one keeps.
    model1: Model,
    model2: Model,
    /// How much of the first model: 1 is all of it, 0 the second's weights alone.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01, beyond = Both)]
    ratio: f64,
}

impl Run for ModelMergeSimple {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        self.model1.merged(&self.model2, |_| Factors::ratio(self.ratio))
    }
}

/// The difference of two models: the first model's weights less the second's, times a number. Added to a third model it gives that
/// one what the first has learned beyond the second.
#[derive(Node)]
#[node(category = "advanced/model_merging", display = "ModelMergeSubtract")]
struct ModelMergeSubtract {
    model1: Model,
    model2: Model,
    /// What the difference is multiplied by.
    #[input(default = 1.0, min = -10.0, max = 10.0, step = 0.01, beyond = Both)]
    multiplier: f64,
}

impl Run for ModelMergeSubtract {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let factors = Factors { own: self.multiplier, other: -self.multiplier };
        self.model1.merged(&self.model2, |_| factors)
    }
}

/// The sum of two models' weights. The second is usually a difference that ModelMergeSubtract has made.
#[derive(Node)]
#[node(category = "advanced/model_merging", display = "ModelMergeAdd")]
struct ModelMergeAdd {
    model1: Model,
    model2: Model,
}

impl Run for ModelMergeAdd {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        self.model1.merged(&self.model2, |_| Factors { own: 1.0, other: 1.0 })
    }
}
