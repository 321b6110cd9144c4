//! How noise levels and a network's timesteps belong together.

use std::f64::consts::PI;

use tch::{Kind, Tensor};

/// The noise level that stands for "before the schedule's start" (percent 0).
const BEFORE_START: f64 = 999_999_999.9;

/// A relation between noise levels and timesteps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clock {
    /// A table of levels, one for each `stride`-th of 1000 timesteps: the nearest in ln σ, linear in ln σ between two.
    Table { stride: i64 },
    /// t = ¼ ln σ: Karras et al. (2022), arXiv:2206.00364.
    QuarterLog,
    /// t = atan σ · 2/π: the angle of the velocity parameterisation.
    Arctangent,
    /// t = σ/(σ+1): a rectified flow written for variance-exploding levels (Cosmos).
    Ratio,
    /// t = σ·`multiplier`, with σ = s·t/(1 + (s−1)·t) for the shift s (Esser et al. 2024, arXiv:2403.03206).
    Shifted { shift: f64, multiplier: f64 },
    /// t = σ, with σ = e^s/(e^s + 1/t − 1) for the shift s (Flux).
    ShiftedLog { shift: f64 },
    /// The cosine schedule (Nichol and Dhariwal 2021, arXiv:2102.09672), its logarithmic signal-to-noise ratio shifted by
    /// −2 ln `shift` (Stable Cascade).
    Cosine { shift: f64 },
}

/// The offset of the cosine schedule.
const COSINE_OFFSET: f64 = 8e-3;

impl Clock {
    /// Whether levels go from 0 to 1 and mix noise and picture, σ·noise + (1−σ)·picture, instead of adding them.
    pub(crate) fn is_flow(self) -> bool {
        matches!(self, Clock::Shifted { .. } | Clock::ShiftedLog { .. })
    }

    /// The timestep of a level; `log_levels` is the table's ln σ.
    pub(crate) fn timestep(self, sigma: f32, log_levels: &Tensor) -> f32 {
        // libtorch's functions, not Rust's: schedules produce levels that lie exactly between two timesteps.
        let level = Tensor::from(sigma);
        match self {
            Clock::Table { stride } => {
                let nearest = (level.log() - log_levels).abs().argmin(0, false).int64_value(&[]);
                (nearest * stride + stride - 1) as f32
            }
            Clock::QuarterLog => value(&(level.log() * 0.25)),
            Clock::Arctangent => value(&(level.atan() / PI * 2.0)),
            Clock::Ratio => sigma / (sigma + 1.0),
            Clock::Shifted { multiplier, .. } => value(&(level * multiplier)),
            Clock::ShiftedLog { .. } => sigma,
            Clock::Cosine { .. } => {
                let variance: Tensor = 1.0 / (&level * &level + 1.0);
                let variance = variance.clamp(0.0, 1.0);
                let angle = (variance * cosine_start()).sqrt().acos();
                value(&(angle / (PI * 0.5) * (1.0 + COSINE_OFFSET) - COSINE_OFFSET))
            }
        }
    }

    /// The levels at real timesteps (float32).
    pub(crate) fn sigma_at(self, timesteps: &Tensor, levels: &[f32], log_levels: &Tensor) -> Tensor {
        let t = timesteps.to_kind(Kind::Float);
        match self {
            Clock::Table { stride } => interpolated(&((t - (stride - 1)) / stride), log_levels),
            Clock::QuarterLog => (t / 0.25).exp(),
            Clock::Arctangent => (t * PI / 2.0).tan(),
            Clock::Ratio => {
                let highest = f64::from(levels.last().copied().unwrap_or_default());
                let level: Tensor = &t / (1f64 - &t);
                level.where_scalarother(&t.lt(highest / (highest + 1.0)), highest)
            }
            Clock::Shifted { shift, multiplier } => shifted(&(t / multiplier), shift),
            // A number over a tensor is the reciprocal times the number in Python; in `tch` it rounds otherwise.
            Clock::ShiftedLog { shift } => ((t.reciprocal() - 1.0) + shift.exp()).reciprocal() * shift.exp(),
            Clock::Cosine { shift } => cosine(&t, shift),
        }
    }

    /// The level at a part of the schedule, 0 (noise) to 1 (clean): 0 and less give a level above all others, 1 and more
    /// give 0.
    pub(crate) fn percent_to_sigma(self, percent: f64, levels: &[f32], log_levels: &Tensor) -> f64 {
        if percent <= 0.0 {
            return if self.is_flow() { 1.0 } else { BEFORE_START };
        }
        if percent >= 1.0 {
            return 0.0;
        }
        let left = 1.0 - percent;
        match self {
            Clock::QuarterLog | Clock::Arctangent | Clock::Ratio => {
                let log = |level: Option<&f32>| f64::from(level.copied().unwrap_or(1.0)).ln();
                let (low, high) = (log(levels.first()), log(levels.last()));
                ((high - low) * left + low).exp()
            }
            // In float64, as Python computes it.
            Clock::Shifted { shift, .. } => shift * left / (1.0 + (shift - 1.0) * left),
            Clock::ShiftedLog { shift } => shift.exp() / (shift.exp() + (1.0 / left - 1.0)),
            Clock::Table { .. } => self.level(left * 999.0, levels, log_levels),
            Clock::Cosine { .. } => self.level(left, levels, log_levels),
        }
    }

    fn level(self, timestep: f64, levels: &[f32], log_levels: &Tensor) -> f64 {
        self.sigma_at(&Tensor::from(timestep as f32), levels, log_levels).double_value(&[])
    }
}

/// The levels at places of a table, linear in ln σ.
fn interpolated(places: &Tensor, log_levels: &Tensor) -> Tensor {
    let t = places.clamp(0.0, (log_levels.numel() - 1) as f64);
    let log_at = |index: Tensor| log_levels.index_select(0, &index.to_kind(Kind::Int64).view(-1)).view_as(&t);
    let weight = t.frac();
    ((1f64 - &weight) * log_at(t.floor()) + &weight * log_at(t.ceil())).exp()
}

fn shifted(t: &Tensor, shift: f64) -> Tensor {
    if shift == 1.0 { t.shallow_clone() } else { t * shift / (t * (shift - 1.0) + 1.0) }
}

/// ᾱ of the cosine schedule at its start, before it is divided by itself.
fn cosine_start() -> Tensor {
    let offset = Tensor::from(COSINE_OFFSET as f32);
    (&offset / (&offset + 1.0) * PI * 0.5).cos().square()
}

fn cosine(t: &Tensor, shift: f64) -> Tensor {
    let offset = Tensor::from(COSINE_OFFSET as f32);
    let mut alpha_bar = ((t + &offset) / (&offset + 1.0) * PI * 0.5).cos().square() / cosine_start();
    if shift != 1.0 {
        let (ratio, widening): (Tensor, Tensor) = (&alpha_bar / (1f64 - &alpha_bar), 1f64 / Tensor::from(shift as f32));
        alpha_bar = (ratio.log() + widening.log() * 2.0).sigmoid();
    }
    let alpha_bar = alpha_bar.clamp(0.0001, 0.9999);
    let square: Tensor = (1f64 - &alpha_bar) / alpha_bar;
    square.sqrt()
}

fn value(scalar: &Tensor) -> f32 {
    scalar.double_value(&[]) as f32
}
