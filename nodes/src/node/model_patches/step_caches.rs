use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Inputs, Node};

use crate::recipes::Model;
use crate::sampling::reuse::{self, Readiness};

/// When answers are told from earlier ones.
#[derive(Inputs)]
struct When {
    model: Model,
    /// How much the prediction may have changed, by estimate, until the model is asked again: a part of its mean size.
    #[input(default = 0.2, min = 0.0, max = 3.0, step = 0.01)]
    reuse_threshold: f64,
    /// Where in the schedule it begins, 0 (noise) to 1 (clean).
    #[input(default = 0.15, min = 0.0, max = 1.0, step = 0.01)]
    start_percent: f64,
    /// Where in the schedule it ends.
    #[input(default = 0.95, min = 0.0, max = 1.0, step = 0.01)]
    end_percent: f64,
    /// Whether more is logged. Here the log tells each step that is left out in any case.
    #[input(default = false)]
    #[expect(dead_code, reason = "the log says the same either way")]
    verbose: bool,
}

impl When {
    /// As levels of the model as its file has it: nodes that change how it is sampled come into force later.
    fn readiness(&self) -> Readiness {
        let level = |percent: f64| self.model.part.parameterisation.percent_to_sigma(percent) as f32;
        Readiness {
            threshold: self.reuse_threshold as f32,
            start: level(self.start_percent),
            end: level(self.end_percent),
        }
    }
}

/// Leaves out calls of the model in steps whose prediction is told from those before (EasyCache): faster, and not quite the same picture.
#[derive(Node)]
#[node(category = "advanced/debug/model", experimental)]
struct EasyCache {
    #[input(flatten)]
    when: When,
}

impl Run for EasyCache {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let cache = reuse::EasyCache::new(self.when.readiness());
        Ok(self.when.model.with_hook(cache))
    }
}

/// Leaves out steps whose denoised latent is told from those before: simpler than EasyCache, and mostly worse.
#[derive(Node)]
#[node(category = "advanced/debug/model", experimental)]
struct LazyCache {
    #[input(flatten)]
    when: When,
}

impl Run for LazyCache {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let cache = reuse::LazyCache::new(self.when.readiness());
        Ok(self.when.model.with_hook(cache))
    }
}
