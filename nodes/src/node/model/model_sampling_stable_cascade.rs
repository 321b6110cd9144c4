use anyhow::ensure;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::diffusion::parameterisation::Parameterisation;
use crate::recipes::Model;

/// Sets the cosine schedule of Stable Cascade for a model.
#[derive(Node)]
#[node(category = "advanced/model")]
struct ModelSamplingStableCascade {
    model: Model,
    /// How far the schedule is shifted towards noise; 1 is no shift.
    #[input(default = 2.0, min = 0.0, max = 100.0, step = 0.01)]
    shift: f64,
}

impl Run for ModelSamplingStableCascade {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        ensure!(self.shift > 0.0, "a shift of {} leaves no noise levels; set one above 0", self.shift);
        Ok(self.model.with_sampling(Parameterisation::cosine(self.shift)))
    }
}
