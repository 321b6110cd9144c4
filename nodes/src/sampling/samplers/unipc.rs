//! UniPC: Zhao et al. (2023), arXiv:2302.04867: unified predictor and corrector, multistep, in data prediction.

use anyhow::Result;
use tch::{Kind, Tensor};

use super::step::scalar;
use super::{Form, Parameters};
use crate::sampling::denoise::Denoise;
use crate::sampling::noise::Noise;

/// What stands for a last level of 0, where λ would be infinite.
const ALMOST_CLEAN: f64 = 0.001;
const HIGHEST_ORDER: usize = 3;

/// A noise level σ as a variance-preserving process has it: y = α·clean + s·noise, y = α·x.
///
/// For a float32 state this is computed in float32 in ComfyUI's order: its rounding makes s of 0.001 an effective
/// 0.00097656.
#[derive(Debug, Clone, Copy)]
struct Level {
    sigma: f64,
    alpha: f64,
    s: f64,
    /// ln(α/s).
    lambda: f64,
}

impl Level {
    fn new(sigma: f64, kind: Kind) -> Level {
        let sigma_squared = scalar(sigma, kind).square();
        let log_alpha = (1f64 / (sigma_squared + 1.0)).log() * 0.5;
        let variance = 1f64 - (&log_alpha * 2.0).exp();
        Level {
            sigma,
            alpha: log_alpha.exp().double_value(&[]),
            s: variance.sqrt().double_value(&[]),
            lambda: (&log_alpha - variance.log() * 0.5).double_value(&[]),
        }
    }

    /// The denoised latent behind `y`.
    fn denoised(&self, model: &mut dyn Denoise, y: &Tensor) -> Result<Tensor> {
        let x = y * (self.sigma * self.sigma + 1.0).sqrt();
        let epsilon = (&x - model.denoise(&x, self.sigma)?.denoised) / self.sigma;
        Ok((y - epsilon * self.s) / self.alpha)
    }
}

/// UniPC of up to third order with B(h) = h (`bh1`) or eʰ − 1 (`bh2`). With a single step the state is not updated.
pub(super) fn unipc(
    model: &mut dyn Denoise,
    x: Tensor,
    sigmas: &[f64],
    p: &Parameters,
    _: &mut dyn Noise,
) -> Result<Tensor> {
    let count = sigmas.len() - 1;
    let last = |sigma: f64| if sigma == 0.0 { ALMOST_CLEAN } else { sigma };
    let mut levels: Vec<Level> = sigmas[..count].iter().map(|&sigma| Level::new(sigma, x.kind())).collect();
    levels.push(Level::new(last(sigmas[count]), x.kind()));
    let highest = HIGHEST_ORDER.min(count - 1);

    let mut y = x / (1.0 + sigmas[0] * sigmas[0]).sqrt();
    let mut known = vec![(levels[0], levels[0].denoised(model, &y)?)];
    model.on_step(0, count, &known[0].1)?;
    for (k, &level) in levels.iter().enumerate().skip(1).take(if count == 1 { 0 } else { count }) {
        let order = if k < highest { k } else { highest.min(count + 1 - k) };
        let update = Update::new(&known[known.len() - order..], level, p.form);
        let predicted = update.predict(&y);
        if k == count {
            y = predicted;
        } else {
            let denoised = level.denoised(model, &predicted)?;
            model.on_step(k, count, &denoised)?;
            y = update.correct(&y, &denoised);
            known.push((level, denoised));
        }
    }
    Ok(y / levels[count].alpha)
}

/// One step to a level, from the last evaluations.
struct Update<'a> {
    newest: &'a Tensor,
    /// Differences (D₋ⱼ − D₀)/rⱼ, newest first.
    differences: Vec<Tensor>,
    /// Places of the evaluations in units of the step: r₁, r₂, …, 1.
    places: Vec<f64>,
    /// Right-hand side of the order conditions.
    targets: Vec<f64>,
    /// s/s₀, α·(e^(−h) − 1), α·B(h).
    kept: f64,
    toward: f64,
    scale: f64,
}

impl<'a> Update<'a> {
    /// `known` are the last evaluations, oldest first; their number is the order.
    fn new(known: &'a [(Level, Tensor)], level: Level, form: Form) -> Update<'a> {
        let order = known.len();
        let (from, newest) = &known[order - 1];
        let h = level.lambda - from.lambda;
        let mut places = Vec::new();
        let mut differences = Vec::new();
        for (earlier, denoised) in known[..order - 1].iter().rev() {
            let place = (earlier.lambda - from.lambda) / h;
            differences.push((denoised - newest) / place);
            places.push(place);
        }
        places.push(1.0);
        let b = match form {
            Form::First => -h,
            Form::Second => (-h).exp_m1(),
        };
        Update {
            newest,
            differences,
            places,
            targets: targets(order, -h, b),
            kept: level.s / from.s,
            toward: level.alpha * (-h).exp_m1(),
            scale: level.alpha * b,
        }
    }

    fn predict(&self, y: &Tensor) -> Tensor {
        let known = self.differences.len();
        let weights = match known {
            0 => vec![],
            1 => vec![0.5],
            _ => order_conditions(&self.places[..known], &self.targets[..known]),
        };
        self.moved(y, &weights)
    }

    /// The step made again, with the denoised latent at its end.
    fn correct(&self, y: &Tensor, denoised: &Tensor) -> Tensor {
        let order = self.places.len();
        let weights = if order == 1 { vec![0.5] } else { order_conditions(&self.places, &self.targets) };
        let moved = self.moved(y, &weights[..order - 1]);
        moved - (denoised - self.newest) * (self.scale * weights[order - 1])
    }

    fn moved(&self, y: &Tensor, weights: &[f64]) -> Tensor {
        let mut moved = y * self.kept - self.newest * self.toward;
        for (difference, weight) in self.differences.iter().zip(weights) {
            moved -= difference * (self.scale * weight);
        }
        moved
    }
}

/// j!·qⱼ/B for j = 1 to `order`, with q₁ = (eᴴ − 1)/H − 1 and qⱼ₊₁ = qⱼ/H − 1/(j+1)!.
fn targets(order: usize, h: f64, b: f64) -> Vec<f64> {
    let mut q = h.exp_m1() / h - 1.0;
    let mut factorial = 1.0;
    (1..=order)
        .map(|j| {
            let target = q * factorial / b;
            factorial *= j as f64 + 1.0;
            q = q / h - 1.0 / factorial;
            target
        })
        .collect()
}

/// The weights w with Σ placesₘ^(j−1)·wₘ = targetsⱼ, by elimination.
fn order_conditions(places: &[f64], targets: &[f64]) -> Vec<f64> {
    let size = places.len();
    let mut rows: Vec<Vec<f64>> =
        (0..size).map(|j| places.iter().map(|place| place.powi(j as i32)).chain([targets[j]]).collect()).collect();
    for column in 0..size {
        let pivot = (column..size).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()));
        rows.swap(column, pivot.unwrap_or(column));
        for row in (0..size).filter(|&row| row != column) {
            let factor = rows[row][column] / rows[column][column];
            let above = rows[column].clone();
            for (value, above) in rows[row].iter_mut().zip(above) {
                *value -= factor * above;
            }
        }
    }
    (0..size).map(|row| rows[row][size] / rows[row][row]).collect()
}
