//! Guidance whose strength varies over the images of a batch.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Device, Kind, Tensor};

use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, Pair};

/// Varies the guidance over a batch: linearly from `min_cfg` at the first image to the sampler's cfg at the last.
#[derive(Node)]
#[node(category = "sampling/video_models")]
struct VideoLinearCFGGuidance {
    model: Model,
    /// The cfg of the first image.
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.5, round = 0.01)]
    min_cfg: f64,
}

impl Run for VideoLinearCFGGuidance {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(Spread { least: self.min_cfg, over: Over::Rising }))
    }
}

/// Varies the guidance over a batch: from `min_cfg` at both ends to the sampler's cfg in the middle.
#[derive(Node)]
#[node(category = "sampling/video_models")]
struct VideoTriangleCFGGuidance {
    model: Model,
    /// The cfg of the first and the last image.
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.5, round = 0.01)]
    min_cfg: f64,
}

impl Run for VideoTriangleCFGGuidance {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(Spread { least: self.min_cfg, over: Over::Triangle }))
    }
}

/// The cfg of each image, from the lowest to the sampler's.
#[derive(Debug)]
struct Spread {
    least: f64,
    over: Over,
}

#[derive(Debug)]
enum Over {
    Rising,
    Triangle,
}

impl Hook for Spread {
    fn guide(&self, pair: &Pair, evaluation: &Evaluation) -> anyhow::Result<Option<Tensor>> {
        let count = pair.cond.size()[0];
        let line = |from: f64, to: f64| Tensor::linspace(from, to, count, (Kind::Float, Device::Cpu));
        let strengths = match self.over {
            Over::Rising => line(self.least, evaluation.cfg),
            Over::Triangle => {
                let way = line(0.0, 1.0);
                let triangle = (&way - (&way + 0.5).floor()).abs() * 2.0;
                triangle * (evaluation.cfg - self.least) + self.least
            }
        };
        let strengths = strengths.to_device(pair.cond.device()).view([-1, 1, 1, 1]);
        let (cond, uncond) = (evaluation.x - pair.cond, evaluation.x - pair.uncond);
        Ok(Some(&uncond + strengths * (cond - &uncond)))
    }
}
