use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::diffusion::parameterisation::{Parameterisation, Prediction};
use crate::recipes::Model;

/// Sets what a model with Stable Diffusion's 1000 timesteps predicts.
#[derive(Node)]
#[node(category = "advanced/model")]
struct ModelSamplingDiscrete {
    model: Model,
    /// What the model predicts: the noise (`eps`), the velocity (`v_prediction`), the noise after distillation to few
    /// steps (`lcm`), the clean latent (`x0`), or the clean latent from an input that is not scaled (`img_to_img`).
    sampling: Predicts,
    /// Whether the schedule is rescaled to zero terminal signal-to-noise ratio, so that it starts from almost pure
    /// noise.
    #[input(default = false)]
    zsnr: bool,
}

#[derive(Combo)]
enum Predicts {
    #[combo(name = "eps")]
    Noise,
    #[combo(name = "v_prediction")]
    Velocity,
    #[combo(name = "lcm")]
    Consistency,
    #[combo(name = "x0")]
    Clean,
    #[combo(name = "img_to_img")]
    Unscaled,
}

impl Run for ModelSamplingDiscrete {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let of = |prediction| Parameterisation::discrete(prediction, self.zsnr);
        let sampling = match self.sampling {
            Predicts::Noise => of(Prediction::Epsilon),
            Predicts::Velocity => of(Prediction::Velocity),
            Predicts::Consistency => Parameterisation::consistency(self.zsnr),
            Predicts::Clean => of(Prediction::Sample),
            Predicts::Unscaled => of(Prediction::Unscaled),
        };
        Ok(self.model.with_sampling(sampling))
    }
}
