//! Schedules: the noise levels of a sampling run.
//!
//! A schedule for n steps gives n + 1 descending levels, of which the last is 0 (a few give more or fewer, as noted).
//! They are computed with libtorch's CPU operations in ComfyUI's precision, because rounding is visible in the result.

use anyhow::{Result, bail, ensure};
use redraft_engine::table::Row;
use tch::{Device, Kind, Tensor};

use crate::diffusion::clock::Clock;
use crate::diffusion::parameterisation::{Parameterisation, to_vec};
use crate::values::Sigmas;

/// A row of [`SCHEDULE_TABLES`].
#[derive(Debug)]
pub struct Schedule {
    /// ComfyUI's name of it.
    pub name: &'static str,
    /// The noise levels for a number of steps, which is at least 1.
    pub sigmas: fn(&Parameterisation, usize) -> Vec<f32>,
}

redraft_engine::open_table!(
    /// Tables of schedules; another crate may add one.
    pub SCHEDULE_TABLES: Schedule = SCHEDULES, "schedule"
);

/// ComfyUI's schedules, in its order.
pub static SCHEDULES: &[Schedule] = &[
    Schedule { name: "simple", sigmas: simple },
    Schedule { name: "sgm_uniform", sigmas: sgm_uniform },
    Schedule { name: "karras", sigmas: |p, n| karras(n, p.sigma_min().into(), p.sigma_max().into(), 7.0) },
    Schedule { name: "exponential", sigmas: |p, n| exponential(n, p.sigma_min().into(), p.sigma_max().into()) },
    Schedule { name: "ddim_uniform", sigmas: ddim_uniform },
    Schedule { name: "beta", sigmas: |p, n| beta(p, n, 0.6, 0.6) },
    Schedule { name: "normal", sigmas: normal },
    Schedule { name: "linear_quadratic", sigmas: linear_quadratic },
    Schedule { name: "kl_optimal", sigmas: |p, n| kl_optimal(n, p.sigma_min().into(), p.sigma_max().into()) },
];

/// The most steps that a schedule is computed for. A node allows 10000, and a small denoise multiplies them.
const MOST_STEPS: f64 = 10_000_000.0;

impl Schedule {
    /// The schedule of that name; an error that lists the names if there is none.
    pub fn named(name: &str) -> Result<&'static Schedule> {
        let Some(schedule) = Schedule::find(name) else {
            let names: Vec<_> = Schedule::all().iter().map(|schedule| schedule.name).collect();
            bail!("no scheduler is called {name:?}: use one of {}", names.join(", "));
        };
        Ok(schedule)
    }

    /// The levels for `steps` steps.
    pub fn levels(&self, sampling: &Parameterisation, steps: usize) -> Result<Sigmas> {
        ensure!(steps >= 1, "{} needs at least 1 step", self.name);
        ensure!(steps as f64 <= MOST_STEPS, "{steps} steps are too many: use at most {MOST_STEPS}");
        Ok(Sigmas((self.sigmas)(sampling, steps)))
    }

    /// The levels of a KSampler run. For `denoise` below 1 they are the last `steps` steps of a schedule with
    /// steps/denoise steps (truncated); for 0 and less there are none. With `discard_penultimate` the schedule has one
    /// step more, and the last level above 0 is left out, as the samplers DPM-2 and UniPC require.
    pub fn for_ksampler(
        &self,
        sampling: &Parameterisation,
        steps: usize,
        denoise: f64,
        discard_penultimate: bool,
    ) -> Result<Sigmas> {
        ensure!(!denoise.is_nan(), "denoise is not a number: give one from 0 to 1");
        let levels = |steps: usize| -> Result<Vec<f32>> {
            let mut sigmas = self.levels(sampling, steps + usize::from(discard_penultimate))?.0;
            if discard_penultimate && sigmas.len() >= 2 {
                sigmas.remove(sigmas.len() - 2);
            }
            Ok(sigmas)
        };
        if denoise > 0.9999 {
            return Ok(Sigmas(levels(steps)?));
        }
        if denoise <= 0.0 {
            return Ok(Sigmas::default());
        }
        Ok(Sigmas(last(levels(lengthened(steps, denoise)?)?, steps + 1)))
    }

    /// The levels of the node BasicScheduler: as [`Schedule::for_ksampler`], but any `denoise` below 1 lengthens the
    /// schedule, and there are never more than `steps` + 1 levels.
    pub fn basic(&self, sampling: &Parameterisation, steps: usize, denoise: f64) -> Result<Sigmas> {
        ensure!(!denoise.is_nan(), "denoise is not a number: give one from 0 to 1");
        if denoise <= 0.0 {
            return Ok(Sigmas::default());
        }
        let total = if denoise < 1.0 { lengthened(steps, denoise)? } else { steps };
        Ok(Sigmas(last(self.levels(sampling, total)?.0, steps + 1)))
    }
}

/// steps/denoise, truncated.
fn lengthened(steps: usize, denoise: f64) -> Result<usize> {
    let total = steps as f64 / denoise;
    ensure!(
        total <= MOST_STEPS,
        "{steps} steps at denoise {denoise} need a schedule of {total:.0} steps: use a larger denoise or fewer steps"
    );
    Ok(total as usize)
}

pub(super) fn last(mut values: Vec<f32>, count: usize) -> Vec<f32> {
    values.split_off(values.len().saturating_sub(count))
}

/// The levels of a KSamplerAdvanced run: those from step `start` to step `end`, or `None` if no step is left and the
/// latent stays as it is. If the run ends early and `force_full_denoise` is set, its last level becomes 0, so that the
/// last step denoises fully.
pub fn window(sigmas: &Sigmas, start: Option<usize>, end: Option<usize>, force_full_denoise: bool) -> Option<Sigmas> {
    let mut levels = sigmas.0.clone();
    if let Some(end) = end.filter(|&end| end < levels.len().saturating_sub(1)) {
        levels.truncate(end + 1);
        if force_full_denoise {
            levels[end] = 0.0;
        }
    }
    match start {
        Some(start) if start < levels.len().saturating_sub(1) => Some(Sigmas(levels.split_off(start))),
        Some(_) => None,
        None => Some(Sigmas(levels)),
    }
}

fn simple(sampling: &Parameterisation, steps: usize) -> Vec<f32> {
    let table = sampling.sigmas();
    let stride = table.len() as f64 / steps as f64;
    let level = |k: usize| table[table.len() - 1 - (k as f64 * stride) as usize];
    (0..steps).map(level).chain([0.0]).collect()
}

/// Every ⌊1000/n⌋th timestep from timestep 1 on (Song et al. 2020, DDIM). Not n + 1 levels in general: 7 steps give 9.
fn ddim_uniform(sampling: &Parameterisation, steps: usize) -> Vec<f32> {
    let table = sampling.sigmas();
    let ends_in_zero = is_zero(table[1]);
    let stride = (table.len() / (steps + usize::from(ends_in_zero))).max(1);
    let mut levels: Vec<f32> = table.iter().skip(1).step_by(stride).copied().collect();
    if !ends_in_zero {
        levels.insert(0, 0.0);
    }
    levels.reverse();
    levels
}

/// Timesteps evenly spaced from the last to the first.
fn normal(sampling: &Parameterisation, steps: usize) -> Vec<f32> {
    let lowest = Tensor::from(sampling.timestep(sampling.sigma_min()));
    if is_zero(sampling.sigma_at(&lowest).double_value(&[]) as f32) {
        return to_vec(&sampling.sigma_at(&timesteps(sampling, steps + 1)));
    }
    with_zero(&sampling.sigma_at(&timesteps(sampling, steps)))
}

/// Whether a model's lowest level counts as 0, so that no 0 is appended.
fn is_zero(level: f32) -> bool {
    level.abs() <= 1e-5
}

/// Timesteps evenly spaced from the last towards "timestep −1", as Stability's generative-models have them.
fn sgm_uniform(sampling: &Parameterisation, steps: usize) -> Vec<f32> {
    with_zero(&sampling.sigma_at(&timesteps(sampling, steps + 1).narrow(0, 0, steps as i64)))
}

fn timesteps(sampling: &Parameterisation, count: usize) -> Tensor {
    let timestep = |sigma: f32| f64::from(sampling.timestep(sigma));
    linspace(timestep(sampling.sigma_max()), timestep(sampling.sigma_min()), count)
}

/// Karras et al. (2022), equation 5: evenly spaced in σ^(1/ρ).
pub fn karras(steps: usize, sigma_min: f64, sigma_max: f64, rho: f64) -> Vec<f32> {
    let (low, high) = (sigma_min.powf(1.0 / rho), sigma_max.powf(1.0 / rho));
    with_zero(&(high + linspace(0.0, 1.0, steps) * (low - high)).pow_tensor_scalar(rho))
}

/// Evenly spaced in ln σ.
pub fn exponential(steps: usize, sigma_min: f64, sigma_max: f64) -> Vec<f32> {
    with_zero(&linspace(sigma_max.ln(), sigma_min.ln(), steps).exp())
}

/// ln σ falls with the ρ-th power of the steps left.
pub fn polyexponential(steps: usize, sigma_min: f64, sigma_max: f64, rho: f64) -> Vec<f32> {
    let way = linspace(1.0, 0.0, steps).pow_tensor_scalar(rho);
    with_zero(&(way * (sigma_max.ln() - sigma_min.ln()) + sigma_min.ln()).exp())
}

/// At the quantiles of a Laplace distribution of ln σ around `mu` (Hang et al. 2024, arXiv:2407.03297), within bounds.
/// As many levels as steps: no 0 follows.
pub fn laplace(steps: usize, (sigma_min, sigma_max): (f64, f64), mu: f64, beta: f64) -> Vec<f32> {
    let off: Tensor = 0.5 - linspace(0.0, 1.0, steps);
    // 1e-5 keeps the logarithm finite at both ends.
    let inside: Tensor = 1.0 - off.abs() * 2.0;
    let spread = (inside + 1e-5).log();
    let levels = (mu - off.sign() * beta * spread).exp();
    to_vec(&levels.clamp(sigma_min, sigma_max))
}

/// The continuous variance-preserving process of Song et al. (2021), arXiv:2011.13456, from time 1 to `end`.
pub fn variance_preserving(steps: usize, beta_d: f64, beta_min: f64, end: f64) -> Vec<f32> {
    let t = linspace(1.0, end, steps);
    with_zero(&(t.square() * beta_d / 2.0 + t * beta_min).expm1().sqrt())
}

/// Every hundredth timestep, starting from the last. For a `denoise` below 1 (in tenths) the first of them are left
/// out.
pub fn turbo(sampling: &Parameterisation, steps: usize, denoise: f64) -> Vec<f32> {
    let left_out = 10 - ((10.0 * denoise) as usize).min(10);
    let timesteps: Vec<f32> = (1..=10).rev().map(|k| (k * 100 - 1) as f32).skip(left_out).take(steps).collect();
    with_zero(&sampling.sigma_at(&Tensor::from_slice(&timesteps)))
}

/// Evenly spaced from 1 to 0, shifted: e^shift/(e^shift + 1/σ − 1). For flow models (Esser et al. 2024, arXiv:2403.03206).
pub fn flow_shifted(steps: usize, shift: f64) -> Vec<f32> {
    let timesteps = linspace(1.0, 0.0, steps + 1);
    to_vec(&Clock::ShiftedLog { shift }.sigma_at(&timesteps, &[], &Tensor::new()))
}

/// Levels from 1 down to 0, stretched so that the last above 0 is `end`.
pub fn stretched_to(levels: &[f32], end: f64) -> Vec<f32> {
    let Some(lowest) = levels.iter().rev().find(|level| **level != 0.0) else { return levels.to_vec() };
    let factor = (1.0 - lowest) / (1.0 - end) as f32;
    levels.iter().map(|&level| if level == 0.0 { 0.0 } else { 1.0 - (1.0 - level) / factor }).collect()
}

/// How new levels are spaced between two old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    Linear,
    Cosine,
    Sine,
}

/// The levels with `steps` − 1 new ones after each level between `highest` and `lowest`, except the last.
pub fn extended(sigmas: &Sigmas, steps: i64, (highest, lowest): (f32, f32), spacing: Spacing) -> Sigmas {
    let way = linspace(0.0, 1.0, steps as usize + 1).slice(0, 1, -1, 1);
    let quarter = |way: &Tensor| way * std::f64::consts::PI / 2.0;
    let way = match spacing {
        Spacing::Linear => way,
        Spacing::Cosine => quarter(&way).sin(),
        Spacing::Sine => 1.0 - quarter(&way).cos(),
    };
    let way = to_vec(&way);
    let mut levels = Vec::new();
    for pair in sigmas.0.windows(2) {
        let (level, next) = (pair[0], pair[1]);
        levels.push(level);
        if lowest <= level && level <= highest {
            levels.extend(way.iter().map(|way| way * (next - level) + level));
        }
    }
    levels.extend(sigmas.0.last());
    Sigmas(levels)
}

/// Sabour et al. (2024), "Align Your Steps", the schedule that is optimal in Kullback-Leibler divergence for a Gaussian.
/// One step gives NaN (0/0), as in ComfyUI.
pub fn kl_optimal(steps: usize, sigma_min: f64, sigma_max: f64) -> Vec<f32> {
    let part = Tensor::arange(steps as i64, (Kind::Float, Device::Cpu)) / (steps as f64 - 1.0);
    with_zero(&(&part * sigma_min.atan() + (1f64 - &part) * sigma_max.atan()).tan())
}

/// Timesteps at the quantiles of a beta distribution (Lee et al. 2024, arXiv:2407.12173). Duplicate timesteps are
/// dropped: 300 steps give 294 levels.
pub fn beta(sampling: &Parameterisation, steps: usize, alpha: f64, beta: f64) -> Vec<f32> {
    let table = sampling.sigmas();
    let stride = 1.0 / steps as f64;
    let timestep = |k: usize| {
        let quantile = beta_quantile(1.0 - k as f64 * stride, alpha, beta);
        ((quantile * (table.len() - 1) as f64).round_ties_even() as usize).min(table.len() - 1)
    };
    let mut timesteps: Vec<usize> = (0..steps).map(timestep).collect();
    timesteps.dedup();
    timesteps.into_iter().map(|t| table[t]).chain([0.0]).collect()
}

/// The schedule of Genmo's Mochi: the first half of the steps linear over 2.5 % of the way, the rest quadratic.
fn linear_quadratic(sampling: &Parameterisation, steps: usize) -> Vec<f32> {
    const THRESHOLD: f64 = 0.025;
    let highest = sampling.sigma_max();
    if steps == 1 {
        return vec![highest, 0.0];
    }
    let linear = (steps / 2) as f64;
    let quadratic = steps as f64 - linear;
    let excess = linear - THRESHOLD * steps as f64;
    let a = excess / (linear * (quadratic * quadratic));
    let b = THRESHOLD / linear - 2.0 * excess / (quadratic * quadratic);
    let c = a * (linear * linear);
    let way = |i: f64| if i < linear { i * THRESHOLD / linear } else { a * (i * i) + b * i + c };
    (0..steps).map(|i| (1.0 - way(i as f64)) as f32 * highest).chain([0.0]).collect()
}

fn linspace(start: f64, end: f64, count: usize) -> Tensor {
    Tensor::linspace(start, end, count as i64, (Kind::Float, Device::Cpu))
}

fn with_zero(levels: &Tensor) -> Vec<f32> {
    let mut levels = to_vec(levels);
    levels.push(0.0);
    levels
}

/// The inverse of the regularised incomplete beta function: x with I_x(a, b) = `probability`, by bisection to the last
/// bit (a schedule needs it some tens of times).
fn beta_quantile(probability: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0f64, 1.0f64);
    if probability <= 0.0 || probability >= 1.0 {
        return probability.clamp(low, high);
    }
    let log_beta = ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if incomplete_beta(middle, a, b, log_beta) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// I_x(a, b), by the continued fraction of the Digital Library of Mathematical Functions, 8.17.22, on the side of the
/// mean where it converges fast.
fn incomplete_beta(x: f64, a: f64, b: f64, log_beta: f64) -> f64 {
    let front = (a * x.ln() + b * (-x).ln_1p() - log_beta).exp();
    if x <= (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

/// The continued fraction 1/(1 + d₁/(1 + d₂/(1 + …))), evaluated by Lentz's method.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    let guarded = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut d = 1.0 / guarded(1.0 - (a + b) * x / (a + 1.0));
    let (mut c, mut fraction) = (1.0, d);
    for m in 1..1000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for coefficient in [even, odd] {
            d = 1.0 / guarded(1.0 + coefficient * d);
            c = guarded(1.0 + coefficient / c);
            fraction *= c * d;
        }
        if (fraction - before).abs() <= 1e-16 * fraction.abs() {
            break;
        }
    }
    fraction
}

fn ln_gamma(x: f64) -> f64 {
    Tensor::from_slice(&[x]).lgamma().double_value(&[0])
}

#[cfg(test)]
#[path = "schedules_tests.rs"]
mod tests;
