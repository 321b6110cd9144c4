//! Text encoders merged.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::files::merge::Factors;
use crate::recipes::Clip;

/// Merges the text encoders of two models: each weight is so much of the first one's, and the rest of the second's.
#[derive(Node)]
#[node(category = "advanced/model_merging", display = "CLIPMergeSimple")]
struct CLIPMergeSimple {
    clip1: Clip,
    clip2: Clip,
    /// How much of the first: 1 is all of it, 0 the second's weights alone.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01, beyond = Both)]
    ratio: f64,
}

impl Run for CLIPMergeSimple {
    type Out = Clip;

    fn run(self, _: &mut Cx) -> anyhow::Result<Clip> {
        self.clip1.merged(&self.clip2, Factors::ratio(self.ratio))
    }
}

/// The difference of two models' text encoders: the first's weights less the second's, times a number.
#[derive(Node)]
#[node(category = "advanced/model_merging", display = "CLIPMergeSubtract")]
struct CLIPMergeSubtract {
    clip1: Clip,
    clip2: Clip,
    /// What the difference is multiplied by.
    #[input(default = 1.0, min = -10.0, max = 10.0, step = 0.01, beyond = Both)]
    multiplier: f64,
}

impl Run for CLIPMergeSubtract {
    type Out = Clip;

    fn run(self, _: &mut Cx) -> anyhow::Result<Clip> {
        self.clip1.merged(&self.clip2, Factors { own: self.multiplier, other: -self.multiplier })
    }
}

/// The sum of two models' text encoders. The second is usually a difference that CLIPMergeSubtract has made.
#[derive(Node)]
#[node(category = "advanced/model_merging", display = "CLIPMergeAdd")]
struct CLIPMergeAdd {
    clip1: Clip,
    clip2: Clip,
}

impl Run for CLIPMergeAdd {
    type Out = Clip;

    fn run(self, _: &mut Cx) -> anyhow::Result<Clip> {
        self.clip1.merged(&self.clip2, Factors { own: 1.0, other: 1.0 })
    }
}
