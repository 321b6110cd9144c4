//! Parameterisations of models that take any noise level between two bounds.

use anyhow::ensure;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::diffusion::clock::Clock;
use crate::diffusion::latent_format::PLAYGROUND;
use crate::diffusion::parameterisation::{Parameterisation, Prediction};
use crate::recipes::Model;

/// Sets what a continuous EDM model predicts, and the range of its noise levels. Its timestep is ¼ ln σ.
#[derive(Node)]
#[node(category = "advanced/model")]
struct ModelSamplingContinuousEDM {
    model: Model,
    sampling: Predicts,
    #[input(default = 120.0, min = 0.0, max = 1000.0, step = 0.001)]
    sigma_max: f64,
    #[input(default = 0.002, min = 0.0, max = 1000.0, step = 0.001)]
    sigma_min: f64,
}

#[derive(Combo, Clone, Copy)]
enum Predicts {
    #[combo(name = "v_prediction")]
    Velocity,
    #[combo(name = "edm")]
    Edm,
    #[combo(name = "edm_playground_v2.5")]
    Playground,
    #[combo(name = "eps")]
    Noise,
    #[combo(name = "cosmos_rflow")]
    RatioFlow,
}

impl Run for ModelSamplingContinuousEDM {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let bounds = checked(self.sigma_min, self.sigma_max)?;
        let (prediction, clock, data) = match self.sampling {
            Predicts::Velocity => (Prediction::Velocity, Clock::QuarterLog, 1.0),
            Predicts::Edm | Predicts::Playground => (Prediction::Edm, Clock::QuarterLog, 0.5),
            Predicts::Noise => (Prediction::Epsilon, Clock::QuarterLog, 1.0),
            Predicts::RatioFlow => (Prediction::RatioFlow, Clock::Ratio, 1.0),
        };
        let mut model = self.model.with_sampling(Parameterisation::continuous(prediction, clock, bounds, data));
        if matches!(self.sampling, Predicts::Playground) {
            model.latent_format = &PLAYGROUND;
        }
        Ok(model)
    }
}

/// Sets the range of noise levels of a continuous velocity model, whose timestep is the angle between noise and
/// picture.
#[derive(Node)]
#[node(category = "advanced/model")]
struct ModelSamplingContinuousV {
    model: Model,
    #[expect(dead_code, reason = "there is one choice")]
    sampling: Velocity,
    #[input(default = 500.0, min = 0.0, max = 1000.0, step = 0.001)]
    sigma_max: f64,
    #[input(default = 0.03, min = 0.0, max = 1000.0, step = 0.001)]
    sigma_min: f64,
}

#[derive(Combo)]
enum Velocity {
    #[combo(name = "v_prediction")]
    Velocity,
}

impl Run for ModelSamplingContinuousV {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let bounds = checked(self.sigma_min, self.sigma_max)?;
        let sampling = Parameterisation::continuous(Prediction::Velocity, Clock::Arctangent, bounds, 1.0);
        Ok(self.model.with_sampling(sampling))
    }
}

fn checked(low: f64, high: f64) -> anyhow::Result<(f64, f64)> {
    ensure!(
        low > 0.0 && high > 0.0,
        "sigma_min is {low} and sigma_max {high}, but noise levels are above 0; set them so"
    );
    Ok((low, high))
}
