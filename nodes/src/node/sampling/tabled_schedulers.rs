//! Published tables of optimised noise levels.

use anyhow::{Context, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::sampling::tables;
use crate::values::Sigmas;

/// Gives the optimised noise levels of "Align Your Steps" (Sabour et al. 2024).
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct AlignYourStepsScheduler {
    model_type: Aligned,
    #[input(default = 10, min = 1, max = 10000)]
    steps: usize,
    /// The share of the steps that is made, counted from the clean end.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01, beyond = Above)]
    denoise: f64,
}

#[derive(Combo)]
enum Aligned {
    #[combo(name = "SD1")]
    Sd1,
    #[combo(name = "SDXL")]
    Sdxl,
    #[combo(name = "SVD")]
    Svd,
}

impl Run for AlignYourStepsScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        let levels = match self.model_type {
            Aligned::Sd1 => tables::ALIGNED_SD1,
            Aligned::Sdxl => tables::ALIGNED_SDXL,
            Aligned::Svd => tables::ALIGNED_SVD,
        };
        Ok(tables::stretched(levels, self.steps, self.denoise))
    }
}

/// Gives the noise levels of GITS (Chen et al. 2024, arXiv:2405.11326).
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct GITSScheduler {
    /// From 0.80 to 1.50 in steps of 0.05.
    #[input(default = 1.20, min = 0.80, max = 1.50, step = 0.05)]
    coeff: f64,
    #[input(default = 10, min = 2, max = 1000)]
    steps: usize,
    /// The share of the steps that is made, counted from the clean end.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01, beyond = Above)]
    denoise: f64,
}

impl Run for GITSScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        let coeff = self.coeff;
        ensure!(self.steps >= 2, "GITS has no levels for {} steps; set at least 2", self.steps);
        let levels = tables::gits(coeff, self.steps.min(20)).with_context(|| {
            format!("coeff is {coeff}, but there are levels for 0.80, 0.85, ... 1.50 only; set one of these")
        })?;
        Ok(tables::stretched(&levels, self.steps, self.denoise))
    }
}

/// Gives the noise levels of OptimalSteps for Flux, Wan and Chroma.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct OptimalStepsScheduler {
    model_type: Optimal,
    #[input(default = 20, min = 3, max = 1000)]
    steps: usize,
    /// The share of the steps that is made, counted from the clean end.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01)]
    denoise: f64,
}

#[derive(Combo)]
enum Optimal {
    #[combo(name = "FLUX")]
    Flux,
    #[combo(name = "Wan")]
    Wan,
    #[combo(name = "Chroma")]
    Chroma,
}

impl Run for OptimalStepsScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        let levels = match self.model_type {
            Optimal::Flux => tables::OPTIMAL_FLUX,
            Optimal::Wan => tables::OPTIMAL_WAN,
            Optimal::Chroma => tables::OPTIMAL_CHROMA,
        };
        Ok(tables::stretched(levels, self.steps, self.denoise))
    }
}
