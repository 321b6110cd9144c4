//! What a diffusion network predicts, and on which noise levels it was trained.
//!
//! Most of it is written for noise levels σ in the variance-exploding form of Karras et al. (2022): the sampler's state is
//! x = clean + σ·noise, and the network sees x / √(σ²+1). Flow models mix instead: x = (1−σ)·clean + σ·noise. The levels
//! are float32, computed with libtorch's CPU operations in ComfyUI's order, so that they agree bit for bit.

use anyhow::{Result, ensure};
use tch::{Device, IndexOp, Kind, Tensor};

use super::clock::Clock;
use super::real::Real;

/// What the network's output means. With σ the noise level, s the data's spread, x the state and o the output, D is the
/// denoised latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prediction {
    /// The noise: D = x − σ·o.
    Epsilon,
    /// The velocity of Salimans and Ho (2022): D = x·s²/(σ²+s²) − o·σ·s/√(σ²+s²).
    Velocity,
    /// The same with the other sign: Karras et al. (2022).
    Edm,
    /// The denoised latent itself: D = o.
    Sample,
    /// The denoised latent itself, from a state that is not scaled.
    Unscaled,
    /// The noise, for a consistency model (Luo et al. 2023, arXiv:2310.04378), whose D is mixed with x towards timestep 0.
    Consistency,
    /// The velocity of a flow, from a state that is not scaled: D = x − σ·o, with states that mix.
    Flow,
    /// The velocity of a flow at t = σ/(σ+1): D = x·(1−t) − o·t.
    RatioFlow,
}

/// A network's prediction type and the noise levels of its training timesteps.
#[derive(Debug)]
pub struct Parameterisation {
    prediction: Prediction,
    clock: Clock,
    sigmas: Vec<f32>,
    /// ln σ, float32 on the CPU, taken in the levels' own precision before rounding.
    log_sigmas: Tensor,
    /// The spread of clean latents.
    data: f32,
}

/// ᾱ of the last timestep after rescaling to zero terminal signal; 0 would make σ infinite.
const ZERO_SNR_ALPHA: f64 = 4.897_345_189_085_343_5e-8;
/// What a consistency model's timesteps are multiplied by, and its data's spread.
const CONSISTENCY: (f32, f32) = (10.0, 0.5);

impl Parameterisation {
    /// SD1.x: noise prediction on 1000 timesteps with β = linspace(√0.00085, √0.012)².
    pub fn sd15() -> Parameterisation {
        Parameterisation::discrete(Prediction::Epsilon, false)
    }

    /// The "scaled linear" schedule of latent diffusion, 1000 timesteps. With `zero_terminal_snr`, √ᾱ is shifted and
    /// scaled so that the last level is almost pure noise (Lin et al. 2023, arXiv:2305.08891).
    pub fn discrete(prediction: Prediction, zero_terminal_snr: bool) -> Parameterisation {
        let betas = Tensor::linspace(0.00085f64.sqrt(), 0.012f64.sqrt(), 1000, (Kind::Double, Device::Cpu)).square();
        let mut sigmas = sigmas_of(&betas);
        if zero_terminal_snr {
            sigmas = with_zero_terminal_snr(&sigmas);
        }
        Parameterisation::new(prediction, Clock::Table { stride: 1 }, &sigmas, 1.0)
    }

    /// Noise prediction on 1000 timesteps whose β lie evenly between two bounds.
    pub fn linear(low: f64, high: f64) -> Parameterisation {
        let betas = Tensor::linspace(low, high, 1000, (Kind::Double, Device::Cpu));
        Parameterisation::new(Prediction::Epsilon, Clock::Table { stride: 1 }, &sigmas_of(&betas), 1.0)
    }

    /// A consistency model distilled to every twentieth of these timesteps.
    pub fn consistency(zero_terminal_snr: bool) -> Parameterisation {
        const STRIDE: i64 = 20;
        let all = Parameterisation::discrete(Prediction::Consistency, zero_terminal_snr).sigmas;
        let kept: Vec<f32> = all.iter().skip(STRIDE as usize - 1).step_by(STRIDE as usize).copied().collect();
        let clock = Clock::Table { stride: STRIDE };
        Parameterisation::new(Prediction::Consistency, clock, &Tensor::from_slice(&kept), 1.0)
    }

    /// Levels between two bounds, even in ln σ, for networks that take them as they come.
    pub fn continuous(prediction: Prediction, clock: Clock, (low, high): (f64, f64), data: f64) -> Parameterisation {
        let sigmas = Tensor::linspace(low.ln(), high.ln(), 1000, (Kind::Float, Device::Cpu)).exp();
        Parameterisation::new(prediction, clock, &sigmas, data as f32)
    }

    /// A rectified flow with its levels shifted towards noise.
    pub fn flow(shift: f64, multiplier: f64) -> Parameterisation {
        let clock = Clock::Shifted { shift, multiplier };
        let timesteps = Tensor::arange_start(1, 1001, (Kind::Int64, Device::Cpu)) / 1000.0 * multiplier;
        Parameterisation::on_timesteps(Prediction::Flow, clock, &timesteps)
    }

    /// The same with Flux's shift, in the logarithm.
    pub fn log_shifted_flow(shift: f64) -> Parameterisation {
        let timesteps = Tensor::arange_start(1, 10001, (Kind::Int64, Device::Cpu)) / 10000.0;
        Parameterisation::on_timesteps(Prediction::Flow, Clock::ShiftedLog { shift }, &timesteps)
    }

    /// Noise prediction on the shifted cosine schedule.
    pub fn cosine(shift: f64) -> Parameterisation {
        let timesteps = (Tensor::arange_start(1, 10001, (Kind::Double, Device::Cpu)) / 10000.0).to_kind(Kind::Float);
        Parameterisation::on_timesteps(Prediction::Epsilon, Clock::Cosine { shift }, &timesteps)
    }

    fn on_timesteps(prediction: Prediction, clock: Clock, timesteps: &Tensor) -> Parameterisation {
        let sigmas = clock.sigma_at(timesteps, &[], &Tensor::new());
        Parameterisation::new(prediction, clock, &sigmas, 1.0)
    }

    fn new(prediction: Prediction, clock: Clock, sigmas: &Tensor, data: f32) -> Parameterisation {
        let log_sigmas = sigmas.log().to_kind(Kind::Float);
        Parameterisation { prediction, clock, sigmas: to_vec(&sigmas.to_kind(Kind::Float)), log_sigmas, data }
    }

    /// What the network's output means.
    pub fn prediction(&self) -> Prediction {
        self.prediction
    }

    /// Whether the network predicts velocity on noise levels that it takes as they come.
    pub fn is_continuous_velocity(&self) -> bool {
        self.prediction == Prediction::Velocity && self.clock == Clock::QuarterLog
    }

    /// Whether the last level is almost pure noise, rescaled to zero terminal signal.
    pub fn has_zero_terminal_snr(&self) -> bool {
        let last = ((1.0 - ZERO_SNR_ALPHA) / ZERO_SNR_ALPHA).sqrt();
        matches!(self.clock, Clock::Table { .. }) && (f64::from(self.sigma_max()) - last).abs() < 0.1
    }

    /// Whether states mix noise and picture, σ·noise + (1−σ)·picture, with levels from 0 to 1.
    pub fn is_flow(&self) -> bool {
        self.prediction == Prediction::Flow
    }

    /// The noise level of each training timestep, ascending.
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// The lowest trained noise level (timestep 0).
    pub fn sigma_min(&self) -> f32 {
        self.sigmas[0]
    }

    /// The highest trained noise level (the last timestep).
    pub fn sigma_max(&self) -> f32 {
        self.sigmas[self.sigmas.len() - 1]
    }

    /// The timestep of a level, as float32 because networks embed it as one. SD1.x: the one of 1000 whose ln σ is nearest.
    pub fn timestep(&self, sigma: f32) -> f32 {
        self.clock.timestep(sigma, &self.log_sigmas)
    }

    /// The noise level at real timesteps (float32). SD1.x: ln σ interpolated linearly, timesteps limited to the trained
    /// range.
    pub fn sigma_at(&self, timesteps: &Tensor) -> Tensor {
        self.clock.sigma_at(timesteps, &self.sigmas, &self.log_sigmas)
    }

    /// The noise level at a part of the schedule, 0 (noise) to 1 (clean): 0 and less give a level above all others, 1
    /// and more give 0.
    pub fn percent_to_sigma(&self, percent: f64) -> f64 {
        self.clock.percent_to_sigma(percent, &self.sigmas, &self.log_sigmas)
    }

    /// ln of signal over noise, α/σ, at a level.
    pub fn half_log_snr(&self, sigma: f64) -> f64 {
        let level = Tensor::from(sigma as f32);
        let log = if self.is_flow() { level.logit(None::<f64>) } else { level.log() };
        -log.double_value(&[])
    }

    /// The network's input for the state `x` at `sigma`. SD1.x: x / √(σ²+1), which has unit variance.
    pub fn scaled_input(&self, x: &Tensor, sigma: f32) -> Tensor {
        match self.prediction {
            Prediction::Flow | Prediction::Unscaled => x.shallow_clone(),
            Prediction::RatioFlow => x * f64::from(1.0 - sigma / (sigma + 1.0)),
            _ => x / self.spread(sigma),
        }
    }

    /// The denoised latent, from the network's output for the state `x` at `sigma`.
    pub fn denoised(&self, x: &Tensor, sigma: f32, output: &Tensor) -> Tensor {
        let data = self.data;
        let (spread, variance) = (self.spread(sigma), sigma * sigma + data * data);
        match self.prediction {
            Prediction::Epsilon | Prediction::Flow => x - output * f64::from(sigma),
            Prediction::Velocity => {
                x * f64::from(data * data) / f64::from(variance) - output * f64::from(sigma) * f64::from(data) / spread
            }
            Prediction::Edm => {
                x * f64::from(data * data) / f64::from(variance) + output * f64::from(sigma) * f64::from(data) / spread
            }
            Prediction::Sample | Prediction::Unscaled => output.shallow_clone(),
            Prediction::Consistency => {
                let (scale, spread) = CONSISTENCY;
                let timestep = self.timestep(sigma) * scale;
                let square = timestep * timestep + spread * spread;
                let (skip, out) = (spread * spread / square, Real::Single(timestep) / Real::Single(square).sqrt());
                (x - output * f64::from(sigma)) * out + x * f64::from(skip)
            }
            Prediction::RatioFlow => {
                let t = sigma / (sigma + 1.0);
                x * f64::from(1.0 - t) - output * f64::from(t)
            }
        }
    }

    /// The state that sampling starts from: the latent plus noise at `sigma`. At the highest level the noise is
    /// √(σ²+1) strong instead, so that the network's input has exactly unit variance when the latent is zero.
    pub fn noised(&self, latent: &Tensor, noise: &Tensor, sigma: f32) -> Tensor {
        let adds = !matches!(self.prediction, Prediction::Flow | Prediction::RatioFlow);
        if adds && self.is_full_noise(sigma) {
            return noise * Real::Single(1.0 + sigma * sigma).sqrt() + latent;
        }
        self.at_level(latent, noise, sigma)
    }

    /// The latent with noise at `sigma`, whatever the highest level is.
    pub fn at_level(&self, latent: &Tensor, noise: &Tensor, sigma: f32) -> Tensor {
        if self.is_flow() {
            return noise * f64::from(sigma) + latent * f64::from(1.0 - sigma);
        }
        noise * f64::from(sigma) + latent
    }

    /// The latent that a state at `sigma`, where sampling ended, stands for: itself, except that a flow's is faded.
    pub fn unfaded(&self, state: Tensor, sigma: f32) -> Tensor {
        if self.is_flow() { state / f64::from(1.0 - sigma) } else { state }
    }

    /// √(σ² + s²): the spread of states at a level.
    fn spread(&self, sigma: f32) -> Real {
        Real::Single(sigma * sigma + self.data * self.data).sqrt()
    }

    /// Whether `sigma` is the highest trained level (within 1e-5, relative) or above it.
    fn is_full_noise(&self, sigma: f32) -> bool {
        let (sigma, highest) = (f64::from(sigma), f64::from(self.sigma_max()));
        sigma > highest || (sigma - highest).abs() <= 1e-5 * sigma.abs().max(highest.abs())
    }
}

/// The noise levels that timesteps of these β have.
fn sigmas_of(betas: &Tensor) -> Tensor {
    let alphas_bar = (1f64 - betas).cumprod(0, Kind::Double);
    ((1f64 - &alphas_bar) / &alphas_bar).sqrt()
}

fn with_zero_terminal_snr(sigmas: &Tensor) -> Tensor {
    let root = (1f64 / (sigmas * sigmas + 1.0)).sqrt();
    let (first, last) = (root.i(0), root.i(-1));
    let root = (&root - &last) * (&first / (&first - &last));
    let count = root.size1().unwrap_or(1);
    let alphas_bar = root.square();
    let end = Tensor::from_slice(&[ZERO_SNR_ALPHA]);
    let alphas_bar = Tensor::cat(&[alphas_bar.narrow(0, 0, count - 1), end], 0);
    ((1f64 - &alphas_bar) / &alphas_bar).sqrt()
}

/// The values of a one-dimensional tensor as float32.
pub(crate) fn to_vec(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_kind(Kind::Float).to_device(Device::Cpu).contiguous().view(-1);
    let mut values = vec![0f32; flat.numel()];
    let count = values.len();
    flat.copy_data(&mut values, count);
    values
}

/// An error if `sigma` cannot be a noise level.
pub(crate) fn check_sigma(sigma: f64) -> Result<()> {
    ensure!(
        sigma.is_finite() && sigma >= 0.0,
        "cannot denoise at sigma {sigma}: give sigmas that are numbers, 0 or more"
    );
    Ok(())
}

#[cfg(test)]
#[path = "parameterisation_tests.rs"]
mod tests;
