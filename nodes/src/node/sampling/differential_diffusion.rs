use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::recipes::Model;
use crate::sampling::hooks::DifferentialDiffusion as Gradual;

/// Reads a noise mask's greys as times: the darker a place, the later it begins to be repainted.
#[derive(Node)]
#[node(category = "_for_testing", display = "Differential Diffusion", experimental)]
struct DifferentialDiffusion {
    model: Model,
    /// Below 1, mixed with the plain mask.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01)]
    strength: Option<f64>,
}

impl Run for DifferentialDiffusion {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(Gradual { strength: self.strength.unwrap_or(1.0) }))
    }
}
