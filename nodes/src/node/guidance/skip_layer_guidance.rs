//! Guidance away from a network with some blocks left out.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Kind, Tensor};

use crate::diffusion::patch::{Patch, TransformerBlock};
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, Pair, PromptSet};

/// Guides Stable Diffusion 3 away from its own prediction with some blocks left out.
#[derive(Node)]
#[node(category = "advanced/guidance", experimental)]
struct SkipLayerGuidanceSD3 {
    model: Model,
    /// The numbers of the blocks that are left out.
    #[input(default = "7, 8, 9")]
    layers: String,
    /// The strength of the guidance; 0 is none.
    #[input(default = 3.0, min = 0.0, max = 10.0, step = 0.1, beyond = Both)]
    scale: f64,
    #[input(default = 0.01, min = 0.0, max = 1.0, step = 0.001, beyond = Both)]
    start_percent: f64,
    #[input(default = 0.15, min = 0.0, max = 1.0, step = 0.001, beyond = Both)]
    end_percent: f64,
}

impl Run for SkipLayerGuidanceSD3 {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let range = (self.start_percent, self.end_percent);
        Ok(guided(self.model, Left::of(&self.layers, ""), self.scale, range, 0.0))
    }
}

/// Guides a transformer away from its own prediction with some blocks left out.
#[derive(Node)]
#[node(category = "advanced/guidance", experimental)]
struct SkipLayerGuidanceDiT {
    model: Model,
    /// The numbers of the blocks that are left out, of those in which text and picture have weights of their own.
    #[input(default = "7, 8, 9")]
    double_layers: String,
    /// The same of those in which they share them.
    #[input(default = "7, 8, 9")]
    single_layers: String,
    /// The strength of the guidance; 0 is none.
    #[input(default = 3.0, min = 0.0, max = 10.0, step = 0.1, beyond = Both)]
    scale: f64,
    #[input(default = 0.01, min = 0.0, max = 1.0, step = 0.001, beyond = Both)]
    start_percent: f64,
    #[input(default = 0.15, min = 0.0, max = 1.0, step = 0.001, beyond = Both)]
    end_percent: f64,
    /// How far the result is brought back to the contrast of the prediction for the positive prompt.
    #[input(default = 0.0, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    rescaling_scale: f64,
}

impl Run for SkipLayerGuidanceDiT {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let left = Left::of(&self.double_layers, &self.single_layers);
        Ok(guided(self.model, left, self.scale, (self.start_percent, self.end_percent), self.rescaling_scale))
    }
}

/// Leaves some blocks of a transformer out where it predicts for the negative prompt.
#[derive(Node)]
#[node(category = "advanced/guidance", experimental)]
struct SkipLayerGuidanceDiTSimple {
    model: Model,
    /// The numbers of the blocks that are left out, of those in which text and picture have weights of their own.
    #[input(default = "7, 8, 9")]
    double_layers: String,
    /// The same of those in which they share them.
    #[input(default = "7, 8, 9")]
    single_layers: String,
    #[input(default = 0.0, min = 0.0, max = 1.0, step = 0.001, beyond = Both)]
    start_percent: f64,
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.001, beyond = Both)]
    end_percent: f64,
}

impl Run for SkipLayerGuidanceDiTSimple {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let left = Left::of(&self.double_layers, &self.single_layers);
        if left.is_empty() {
            return Ok(self.model);
        }
        let sigmas = [self.start_percent, self.end_percent].map(|p| self.model.sampling().percent_to_sigma(p));
        Ok(self.model.with_hook(SkipLayersOfUncond { left, sigmas }))
    }
}

fn guided(model: Model, left: Left, scale: f64, (start, end): (f64, f64), rescaling: f64) -> Model {
    if left.is_empty() {
        return model;
    }
    let sigmas = [start, end].map(|percent| model.sampling().percent_to_sigma(percent));
    model.with_hook(SkipLayers { left, scale, sigmas, rescaling })
}

/// The blocks that are left out.
#[derive(Debug)]
struct Left {
    double: Vec<usize>,
    single: Vec<usize>,
}

impl Left {
    /// The numbers in two texts.
    fn of(double: &str, single: &str) -> Self {
        let numbers = |text: &str| {
            let digits = text.split(|c: char| !c.is_numeric()).filter(|digits| !digits.is_empty());
            digits.filter_map(|digits| digits.parse().ok()).collect()
        };
        Self { double: numbers(double), single: numbers(single) }
    }

    fn is_empty(&self) -> bool {
        self.double.is_empty() && self.single.is_empty()
    }
}

impl Patch for Left {
    fn skips(&self, block: TransformerBlock) -> bool {
        match block {
            TransformerBlock::Double(block) => self.double.contains(&block),
            TransformerBlock::Single(block) => self.single.contains(&block),
        }
    }
}

#[derive(Debug)]
struct SkipLayers {
    left: Left,
    scale: f64,
    /// Where it begins and ends, highest first.
    sigmas: [f64; 2],
    rescaling: f64,
}

impl Hook for SkipLayers {
    fn after_guidance(&self, denoised: Tensor, pair: &Pair, evaluation: &Evaluation) -> anyhow::Result<Tensor> {
        let [start, end] = self.sigmas;
        if self.scale <= 0.0 || evaluation.sigma < end || evaluation.sigma > start {
            return Ok(denoised);
        }
        let skipped = evaluation.network.predict(PromptSet::Cond, evaluation.x, evaluation.sigma, Some(&self.left))?;
        let guided = denoised + (pair.cond - skipped) * self.scale;
        if self.rescaling == 0.0 {
            return Ok(guided);
        }
        let spread = |tensor: &Tensor| tensor.std(true).to_kind(Kind::Float);
        let factor = spread(pair.cond) / spread(&guided);
        Ok(guided * (factor * self.rescaling + (1.0 - self.rescaling)))
    }
}

#[derive(Debug)]
struct SkipLayersOfUncond {
    left: Left,
    /// Where it begins and ends, highest first.
    sigmas: [f64; 2],
}

impl Hook for SkipLayersOfUncond {
    fn patch_of_uncond(&self, sigma: f64) -> Option<&dyn Patch> {
        let [start, end] = self.sigmas;
        (end <= sigma && sigma <= start).then_some(&self.left as &dyn Patch)
    }
}
