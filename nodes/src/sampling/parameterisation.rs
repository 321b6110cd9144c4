//! What a diffusion network predicts, and on which noise levels it was trained.
//!
//! Everything here is written for noise levels σ in the variance-exploding form of Karras et al. (2022): the sampler's
//! state is x = clean + σ·noise, and the network sees x / √(σ²+1). The levels are float32, computed with libtorch's CPU
//! operations in ComfyUI's order, so that they agree bit for bit.

use anyhow::{Result, ensure};
use tch::{Device, IndexOp, Kind, Tensor};

/// What the network's output means. With σ the noise level, x the state and o the output, D is the denoised latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prediction {
    /// The noise: D = x − σ·o.
    Epsilon,
    /// The velocity of Salimans and Ho (2022): D = x/(σ²+1) − o·σ/√(σ²+1).
    Velocity,
    /// The denoised latent itself: D = o.
    Sample,
}

/// A network's prediction type and the noise levels of its training timesteps.
#[derive(Debug)]
pub struct Parameterisation {
    prediction: Prediction,
    sigmas: Vec<f32>,
    /// ln σ, float32 on the CPU, taken in float64 before rounding.
    log_sigmas: Tensor,
}

/// The noise level that stands for "before the schedule's start" (percent 0).
const BEFORE_START: f64 = 999_999_999.9;
/// ᾱ of the last timestep after rescaling to zero terminal signal; 0 would make σ infinite.
const ZERO_SNR_ALPHA: f64 = 4.897_345_189_085_343_5e-8;

impl Parameterisation {
    /// SD1.x: noise prediction on 1000 timesteps with β = linspace(√0.00085, √0.012)².
    pub fn sd15() -> Parameterisation {
        Parameterisation::discrete(Prediction::Epsilon, false)
    }

    /// The "scaled linear" schedule of latent diffusion, 1000 timesteps. With `zero_terminal_snr`, √ᾱ is shifted and
    /// scaled so that the last level is almost pure noise (Lin et al. 2023, arXiv:2305.08891).
    pub fn discrete(prediction: Prediction, zero_terminal_snr: bool) -> Parameterisation {
        let betas = Tensor::linspace(0.00085f64.sqrt(), 0.012f64.sqrt(), 1000, (Kind::Double, Device::Cpu)).square();
        let alphas_bar = (1f64 - betas).cumprod(0, Kind::Double);
        let mut sigmas = ((1f64 - &alphas_bar) / &alphas_bar).sqrt();
        if zero_terminal_snr {
            sigmas = with_zero_terminal_snr(&sigmas);
        }
        let log_sigmas = sigmas.log().to_kind(Kind::Float);
        Parameterisation { prediction, sigmas: to_vec(&sigmas.to_kind(Kind::Float)), log_sigmas }
    }

    /// What the network's output means.
    pub fn prediction(&self) -> Prediction {
        self.prediction
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

    /// The training timestep whose ln σ is nearest: a whole number, as float32 because networks embed it as one.
    pub fn timestep(&self, sigma: f32) -> f32 {
        // libtorch's logarithm, not Rust's: schedules produce levels that lie exactly between two timesteps.
        let distance = (Tensor::from_slice(&[sigma]).log() - &self.log_sigmas).abs();
        distance.argmin(0, false).int64_value(&[]) as f32
    }

    /// The noise level at real timesteps (float32): ln σ interpolated linearly, timesteps limited to the trained range.
    pub fn sigma_at(&self, timesteps: &Tensor) -> Tensor {
        let t = timesteps.to_kind(Kind::Float).clamp(0.0, (self.sigmas.len() - 1) as f64);
        let log_at = |index: Tensor| self.log_sigmas.index_select(0, &index.to_kind(Kind::Int64).view(-1)).view_as(&t);
        let weight = t.frac();
        ((1f64 - &weight) * log_at(t.floor()) + &weight * log_at(t.ceil())).exp()
    }

    /// The noise level at a part of the schedule, 0 (noise) to 1 (clean): 0 and less give a level above all others, 1
    /// and more give 0.
    pub fn percent_to_sigma(&self, percent: f64) -> f64 {
        if percent <= 0.0 {
            return BEFORE_START;
        }
        if percent >= 1.0 {
            return 0.0;
        }
        let timestep = Tensor::from_slice(&[((1.0 - percent) * 999.0) as f32]);
        self.sigma_at(&timestep).double_value(&[0])
    }

    /// The network's input for the state `x` at `sigma`: x / √(σ²+1), which has unit variance.
    pub fn scaled_input(&self, x: &Tensor, sigma: f32) -> Tensor {
        x / f64::from((sigma * sigma + 1.0).sqrt())
    }

    /// The denoised latent, from the network's output for the state `x` at `sigma`.
    pub fn denoised(&self, x: &Tensor, sigma: f32, output: &Tensor) -> Tensor {
        match self.prediction {
            Prediction::Epsilon => x - output * f64::from(sigma),
            Prediction::Velocity => {
                let variance = sigma * sigma + 1.0;
                x / f64::from(variance) - output * f64::from(sigma) / f64::from(variance.sqrt())
            }
            Prediction::Sample => output.shallow_clone(),
        }
    }

    /// The state that sampling starts from: the latent plus noise at `sigma`. At the highest level the noise is
    /// √(σ²+1) strong instead, so that the network's input has exactly unit variance when the latent is zero.
    pub fn noised(&self, latent: &Tensor, noise: &Tensor, sigma: f32) -> Tensor {
        let scale = if self.is_full_noise(sigma) { (1.0 + sigma * sigma).sqrt() } else { sigma };
        noise * f64::from(scale) + latent
    }

    /// Whether `sigma` is the highest trained level (within 1e-5, relative) or above it.
    fn is_full_noise(&self, sigma: f32) -> bool {
        let (sigma, highest) = (f64::from(sigma), f64::from(self.sigma_max()));
        sigma > highest || (sigma - highest).abs() <= 1e-5 * sigma.abs().max(highest.abs())
    }
}

impl Clone for Parameterisation {
    fn clone(&self) -> Parameterisation {
        Parameterisation {
            prediction: self.prediction,
            sigmas: self.sigmas.clone(),
            log_sigmas: self.log_sigmas.shallow_clone(),
        }
    }
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
        sigma.is_finite() && sigma > 0.0,
        "cannot denoise at sigma {sigma}: give sigmas above 0, with at most the last one 0"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmas_of_sd15() {
        let sampling = Parameterisation::sd15();
        assert_eq!(sampling.sigmas().len(), 1000);
        assert_eq!(sampling.sigma_min(), 0.029_167_159);
        assert_eq!(sampling.sigma_max(), 14.614_641);
        assert_eq!(sampling.sigmas()[499], 1.6128862);
        assert_eq!(sampling.sigmas()[998], 14.526276);
    }

    #[test]
    fn timestep_is_nearest_in_log_sigma() {
        let sampling = Parameterisation::sd15();
        for (index, &sigma) in sampling.sigmas().iter().enumerate() {
            assert_eq!(sampling.timestep(sigma), index as f32);
        }
        assert_eq!(sampling.timestep(1000.0), 999.0);
        assert_eq!(sampling.timestep(1e-9), 0.0);
    }

    #[test]
    fn sigma_between_timesteps() {
        let sampling = Parameterisation::sd15();
        let at = |t: f32| sampling.sigma_at(&Tensor::from_slice(&[t])).double_value(&[0]) as f32;
        assert_eq!(at(499.5), 1.6155803);
        assert_eq!(at(-3.0), at(0.0));
        assert_eq!(at(5000.0), at(999.0));
    }

    #[test]
    fn percent_to_sigma() {
        let sampling = Parameterisation::sd15();
        assert_eq!(sampling.percent_to_sigma(0.0), 999_999_999.9);
        assert_eq!(sampling.percent_to_sigma(1.0), 0.0);
        assert_eq!(sampling.percent_to_sigma(0.37), 2.5423052310943604);
        for (percent, sigma) in [(0.2, 5.092408), (0.5, 1.61558), (0.8, 0.571189)] {
            assert!((sampling.percent_to_sigma(percent) - sigma).abs() < 1e-6 * sigma);
        }
    }

    #[test]
    fn zero_terminal_snr_ends_almost_at_pure_noise() {
        let sampling = Parameterisation::discrete(Prediction::Velocity, true);
        assert!((sampling.sigma_max() - 4518.76).abs() < 0.1, "{}", sampling.sigma_max());
        assert!((sampling.sigma_min() - 0.0291672).abs() < 1e-6);
    }

    #[test]
    fn velocity_and_sample_recover_the_clean_latent() {
        // clean + σ·noise, with the outputs that a perfect network would give.
        let (clean, noise, sigma) = (0.7f64, -1.3f64, 2.5f32);
        let x = Tensor::from_slice(&[clean + f64::from(sigma) * noise]);
        let scale = f64::from(sigma * sigma + 1.0).sqrt();
        let velocity = (noise - f64::from(sigma) * clean) / scale;
        for (prediction, output) in
            [(Prediction::Epsilon, noise), (Prediction::Velocity, velocity), (Prediction::Sample, clean)]
        {
            let sampling = Parameterisation::discrete(prediction, false);
            let denoised = sampling.denoised(&x, sigma, &Tensor::from_slice(&[output]));
            assert!((denoised.double_value(&[0]) - clean).abs() < 1e-6, "{prediction:?}");
        }
    }

    #[test]
    fn full_noise_is_scaled_to_unit_input() {
        let sampling = Parameterisation::sd15();
        let (zero, one) = (Tensor::from_slice(&[0f32]), Tensor::from_slice(&[1f32]));
        let highest = sampling.sigma_max();
        let input = sampling.scaled_input(&sampling.noised(&zero, &one, highest), highest);
        assert_eq!(input.double_value(&[0]), 1.0);
        assert_eq!(sampling.noised(&one, &one, 2.0).double_value(&[0]), 3.0);
    }
}
