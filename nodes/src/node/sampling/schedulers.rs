//! Schedules between a highest and a lowest noise level.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::sampling::schedules;
use crate::values::Sigmas;

/// Gives noise levels that are evenly spaced in their ρ-th root (Karras et al. 2022).
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct KarrasScheduler {
    #[input(default = 20, min = 1, max = 10000)]
    steps: usize,
    #[input(default = 14.614642, min = 0.0, max = 5000.0, step = 0.01, beyond = Above)]
    sigma_max: f64,
    #[input(default = 0.0291675, min = 0.0, max = 5000.0, step = 0.01, beyond = Above)]
    sigma_min: f64,
    #[input(default = 7.0, min = 0.0, max = 100.0, step = 0.01, beyond = Both)]
    rho: f64,
}

impl Run for KarrasScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        anyhow::ensure!(self.rho != 0.0, "rho is 0, and there is no 0th root; set one above 0");
        Ok(Sigmas(schedules::karras(self.steps, self.sigma_min, self.sigma_max, self.rho)))
    }
}

/// Gives noise levels that are evenly spaced in their logarithm.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct ExponentialScheduler {
    #[input(default = 20, min = 1, max = 10000)]
    steps: usize,
    #[input(default = 14.614642, min = 0.0, max = 5000.0, step = 0.01, beyond = Above)]
    sigma_max: f64,
    #[input(default = 0.0291675, min = 0.0, max = 5000.0, step = 0.01, beyond = Above)]
    sigma_min: f64,
}

impl Run for ExponentialScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        have_logarithms(self.sigma_max, self.sigma_min)?;
        Ok(Sigmas(schedules::exponential(self.steps, self.sigma_min, self.sigma_max)))
    }
}

/// Gives noise levels whose logarithm falls with the ρ-th power of the steps left.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct PolyexponentialScheduler {
    #[input(default = 20, min = 1, max = 10000)]
    steps: usize,
    #[input(default = 14.614642, min = 0.0, max = 5000.0, step = 0.01, beyond = Above)]
    sigma_max: f64,
    #[input(default = 0.0291675, min = 0.0, max = 5000.0, step = 0.01, beyond = Above)]
    sigma_min: f64,
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01, beyond = Both)]
    rho: f64,
}

impl Run for PolyexponentialScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        have_logarithms(self.sigma_max, self.sigma_min)?;
        Ok(Sigmas(schedules::polyexponential(self.steps, self.sigma_min, self.sigma_max, self.rho)))
    }
}

/// Gives noise levels at the quantiles of a Laplace distribution of their logarithm (Hang et al. 2024).
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct LaplaceScheduler {
    /// The number of levels. They do not end with 0.
    #[input(default = 20, min = 1, max = 10000)]
    steps: usize,
    #[input(default = 14.614642, min = 0.0, max = 5000.0, step = 0.01, beyond = Both)]
    sigma_max: f64,
    #[input(default = 0.0291675, min = 0.0, max = 5000.0, step = 0.01, beyond = Both)]
    sigma_min: f64,
    #[input(default = 0.0, min = -10.0, max = 10.0, step = 0.1, beyond = Both)]
    mu: f64,
    #[input(default = 0.5, min = 0.0, max = 10.0, step = 0.1, beyond = Both)]
    beta: f64,
}

impl Run for LaplaceScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        let bounds = (self.sigma_min, self.sigma_max);
        Ok(Sigmas(schedules::laplace(self.steps, bounds, self.mu, self.beta)))
    }
}

/// Gives the noise levels of the continuous variance-preserving process (Song et al. 2021).
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct VPScheduler {
    #[input(default = 20, min = 1, max = 10000)]
    steps: usize,
    #[input(default = 19.9, min = 0.0, max = 5000.0, step = 0.01, beyond = Above)]
    beta_d: f64,
    #[input(default = 0.1, min = 0.0, max = 5000.0, step = 0.01, beyond = Both)]
    beta_min: f64,
    /// The time at which the process ends.
    #[input(default = 0.001, min = 0.0, max = 1.0, step = 0.0001, beyond = Both)]
    eps_s: f64,
}

impl Run for VPScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        Ok(Sigmas(schedules::variance_preserving(self.steps, self.beta_d, self.beta_min, self.eps_s)))
    }
}

fn have_logarithms(sigma_max: f64, sigma_min: f64) -> anyhow::Result<()> {
    anyhow::ensure!(
        sigma_max > 0.0 && sigma_min > 0.0,
        "sigma_max is {sigma_max} and sigma_min {sigma_min}, but 0 has no logarithm; set both above 0"
    );
    Ok(())
}
