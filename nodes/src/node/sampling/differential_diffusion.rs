use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::recipes::Model;
use crate::sampling::hooks::DifferentialDiffusion as Gradual;

/// Turns the noise mask into times: the darker the mask at a pixel, the later in the schedule repainting starts there.
#[derive(Node)]
#[node(category = "_for_testing", display = "Differential Diffusion", experimental)]
struct DifferentialDiffusion {
    model: Model,
    /// Below 1 the result is mixed with the plain mask.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01)]
    strength: Option<f64>,
}

impl Run for DifferentialDiffusion {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(Gradual { strength: self.strength.unwrap_or(1.0) }))
    }
}
