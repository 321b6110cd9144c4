//! Schedules of a model's noise levels.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::recipes::Model;
use crate::sampling::schedules::{self, Schedule};
use crate::values::Sigmas;

/// Gives the noise levels of one of KSampler's schedules.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct BasicScheduler {
    model: Model,
    scheduler: &'static Schedule,
    #[input(default = 20, min = 1, max = 10000)]
    steps: usize,
    /// The share of the schedule that is run, counted from its clean end.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01, beyond = Above)]
    denoise: f64,
}

impl Run for BasicScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        self.scheduler.basic(self.model.sampling(), self.steps, self.denoise)
    }
}

/// Gives the noise levels of every hundredth timestep, for which turbo models are distilled.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct SDTurboScheduler {
    model: Model,
    #[input(default = 1, min = 1, max = 10)]
    steps: usize,
    /// The share of the schedule that is run, rounded down to tenths.
    #[input(default = 1.0, min = 0, max = 1.0, step = 0.01, beyond = Below)]
    denoise: f64,
}

impl Run for SDTurboScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        Ok(Sigmas(schedules::turbo(self.model.sampling(), self.steps, self.denoise)))
    }
}

/// Gives the noise levels of timesteps at the quantiles of a beta distribution (Lee et al. 2024).
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct BetaSamplingScheduler {
    model: Model,
    #[input(default = 20, min = 1, max = 10000)]
    steps: usize,
    #[input(default = 0.6, min = 0.0, max = 50.0, step = 0.01, beyond = Above)]
    alpha: f64,
    #[input(default = 0.6, min = 0.0, max = 50.0, step = 0.01, beyond = Above)]
    beta: f64,
}

impl Run for BetaSamplingScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        let (alpha, beta) = (self.alpha, self.beta);
        anyhow::ensure!(
            alpha > 0.0 && beta > 0.0,
            "alpha is {alpha} and beta {beta}, but a beta distribution has both above 0; set them so"
        );
        Ok(Sigmas(schedules::beta(self.model.sampling(), self.steps, alpha, beta)))
    }
}
