//! UniPC: Zhao et al. (2023), arXiv:2302.04867: unified predictor and corrector, multistep, in data prediction.

use anyhow::Result;
use tch::Tensor;

use super::Form;
use super::run::SamplerRun;
use super::step::slope;
use crate::diffusion::real::{Real, vector};

/// The level that replaces a last level of 0, at which λ would be infinite.
pub(super) const ALMOST_CLEAN: f64 = 0.001;
const HIGHEST_ORDER: usize = 3;

/// A noise level σ in terms of a variance-preserving process, y = α·clean + s·noise with y = α·x. In float32 an s of
/// 0.001 becomes 0.00097656.
#[derive(Debug, Clone, Copy)]
struct Level {
    sigma: Real,
    alpha: Real,
    s: Real,
    /// ln(α/s).
    lambda: Real,
}

impl Level {
    fn new(sigma: Real) -> Level {
        let log_alpha = 0.5 * (1.0 / (sigma * sigma + 1.0)).ln();
        let variance = 1.0 - (2.0 * log_alpha).exp();
        Level { sigma, alpha: log_alpha.exp(), s: variance.sqrt(), lambda: log_alpha - 0.5 * variance.ln() }
    }

    /// The denoised latent behind `y`.
    fn denoised(&self, run: &mut SamplerRun, y: &Tensor) -> Result<Tensor> {
        let x = y * (self.sigma.powf(2.0) + 1.0).powf(0.5);
        let epsilon = slope(&x, self.sigma, &run.denoise(&x, self.sigma)?.denoised);
        Ok((y - epsilon * self.s) / self.alpha)
    }
}

/// UniPC of up to third order with B(h) = h (`bh1`) or eʰ − 1 (`bh2`). With a single step the state is not updated.
pub(super) fn unipc(run: &mut SamplerRun, x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    let sigmas = run.sigmas;
    let count = sigmas.len() - 1;
    let mut levels: Vec<Level> = sigmas[..count].iter().map(|&sigma| Level::new(sigma)).collect();
    let last = sigmas[count];
    levels.push(Level::new(if last == 0.0 { last + ALMOST_CLEAN } else { last }));
    let highest = HIGHEST_ORDER.min(count - 1);

    let mut y = x / (1.0 + sigmas[0].powf(2.0)).sqrt();
    let mut known = vec![(levels[0], levels[0].denoised(run, &y)?)];
    run.report(0, &known[0].1)?;
    for (k, &level) in levels.iter().enumerate().skip(1).take(if count == 1 { 0 } else { count }) {
        let order = if k < highest { k } else { highest.min(count + 1 - k) };
        let update = Update::new(&known[known.len() - order..], level, p.form);
        let predicted = update.predict(&y);
        if k == count {
            y = predicted;
        } else {
            let denoised = level.denoised(run, &predicted)?;
            run.report(k, &denoised)?;
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
    /// Positions of the evaluations in units of the step: r₁, r₂, …, 1.
    places: Vec<Real>,
    /// Right-hand side of the order conditions.
    targets: Vec<Real>,
    /// s/s₀, α·(e^(−h) − 1), α·B(h).
    kept: Real,
    toward: Real,
    scale: Real,
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
        places.push(h.with(1.0));
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
        match known {
            0 => self.start(y),
            1 => self.start(y) - &self.differences[0] * 0.5 * self.scale,
            _ => {
                let weights = order_conditions(&self.places[..known], &self.targets[..known]);
                self.start(y) - self.weighted(&weights) * self.scale
            }
        }
    }

    /// The step made again with the denoised latent at its end (corrector).
    fn correct(&self, y: &Tensor, denoised: &Tensor) -> Tensor {
        let order = self.places.len();
        let difference = denoised - self.newest;
        if order == 1 {
            return self.start(y) - difference * 0.5 * self.scale;
        }
        let weights = order_conditions(&self.places, &self.targets);
        let last = Real::of(&weights.get(order as i64 - 1));
        let known = self.weighted(&weights.narrow(0, 0, order as i64 - 1));
        self.start(y) - (known + difference * last) * self.scale
    }

    /// The first-order step.
    fn start(&self, y: &Tensor) -> Tensor {
        y * self.kept - self.newest * self.toward
    }

    fn weighted(&self, weights: &Tensor) -> Tensor {
        let weights = weights.to_kind(self.newest.kind()).to_device(self.newest.device());
        Tensor::stack(&self.differences, 1).tensordot(&weights, [1], [0])
    }
}

/// j!·qⱼ/B for j = 1 to `order`, with q₁ = (eᴴ − 1)/H − 1 and qⱼ₊₁ = qⱼ/H − 1/(j+1)!.
fn targets(order: usize, h: Real, b: Real) -> Vec<Real> {
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

/// The weights w with Σ placesₘ^(j−1)·wₘ = targetsⱼ.
fn order_conditions(places: &[Real], targets: &[Real]) -> Tensor {
    let places = vector(places);
    let rows: Vec<Tensor> = (0..targets.len()).map(|power| places.pow_tensor_scalar(power as i64)).collect();
    Tensor::linalg_solve(&Tensor::stack(&rows, 0), &vector(targets), true)
}
