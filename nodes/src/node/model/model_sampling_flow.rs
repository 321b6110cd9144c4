//! Parameterisations of flow models, which predict the velocity between picture and noise.

use anyhow::ensure;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::diffusion::parameterisation::Parameterisation;
use crate::recipes::Model;
use crate::values::Latent;

/// Sets the parameterisation of Stable Diffusion 3 for a model.
#[derive(Node)]
#[node(category = "advanced/model")]
struct ModelSamplingSD3 {
    model: Model,
    /// How far the schedule is shifted towards noise; 1 is no shift.
    #[input(default = 3.0, min = 0.0, max = 100.0, step = 0.01)]
    shift: f64,
}

impl Run for ModelSamplingSD3 {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        shifted(self.model, self.shift, 1000.0)
    }
}

/// Sets the parameterisation of AuraFlow for a model: its timesteps go from 0 to 1.
#[derive(Node)]
#[node(category = "advanced/model")]
struct ModelSamplingAuraFlow {
    model: Model,
    /// How far the schedule is shifted towards noise; 1 is no shift.
    #[input(default = 1.73, min = 0.0, max = 100.0, step = 0.01)]
    shift: f64,
}

impl Run for ModelSamplingAuraFlow {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        shifted(self.model, self.shift, 1.0)
    }
}

fn shifted(model: Model, shift: f64, multiplier: f64) -> anyhow::Result<Model> {
    ensure!(shift > 0.0, "a shift of {shift} leaves no noise levels; set one above 0");
    Ok(model.with_sampling(Parameterisation::flow(shift, multiplier)))
}

/// Sets the parameterisation of Flux for a model, with a shift that depends on the size of the picture.
#[derive(Node)]
#[node(category = "advanced/model")]
struct ModelSamplingFlux {
    model: Model,
    /// The shift for 4096 patches of 16×16 pixels.
    #[input(default = 1.15, min = 0.0, max = 100.0, step = 0.01)]
    max_shift: f64,
    /// The shift for 256 patches.
    #[input(default = 0.5, min = 0.0, max = 100.0, step = 0.01)]
    base_shift: f64,
    #[input(default = 1024, min = 16, max = 16384, step = 8)]
    width: i64,
    #[input(default = 1024, min = 16, max = 16384, step = 8)]
    height: i64,
}

impl Run for ModelSamplingFlux {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let patches = (self.width * self.height) as f64 / 256.0;
        let shift = on_line(patches, (256.0, self.base_shift), (4096.0, self.max_shift));
        Ok(self.model.with_sampling(Parameterisation::log_shifted_flow(shift)))
    }
}

/// Sets the parameterisation of LTX-Video for a model, with a shift that depends on the size of the latent.
#[derive(Node)]
#[node(category = "advanced/model")]
struct ModelSamplingLTXV {
    model: Model,
    /// The shift for 4096 latent pixels.
    #[input(default = 2.05, min = 0.0, max = 100.0, step = 0.01)]
    max_shift: f64,
    /// The shift for 1024 latent pixels.
    #[input(default = 0.95, min = 0.0, max = 100.0, step = 0.01)]
    base_shift: f64,
    /// The latent whose size counts. If it is missing, the size is 4096 latent pixels.
    latent: Option<Latent>,
}

impl Run for ModelSamplingLTXV {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let places = self.latent.map_or(4096, |latent| latent.samples.size().iter().skip(2).product::<i64>());
        let shift = on_line(places as f64, (1024.0, self.base_shift), (4096.0, self.max_shift));
        Ok(self.model.with_sampling(Parameterisation::log_shifted_flow(shift)))
    }
}

/// The value at `x` of the line through two points.
fn on_line(x: f64, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> f64 {
    let slope = (y2 - y1) / (x2 - x1);
    x * slope + (y1 - slope * x1)
}
