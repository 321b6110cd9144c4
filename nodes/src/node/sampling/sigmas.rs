//! Nodes that change noise levels.

use std::sync::LazyLock;

use anyhow::Context;
use fancy_regex::Regex;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs};

use crate::recipes::Model;
use crate::sampling::schedules::{Spacing, extended};
use crate::values::Sigmas;

/// The two parts of a split.
#[derive(Outputs)]
struct Parts {
    #[output(name = "high_sigmas")]
    high: Sigmas,
    #[output(name = "low_sigmas")]
    low: Sigmas,
}

/// Splits noise levels at a step. The level of that step ends the first part and starts the second.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/sigmas")]
struct SplitSigmas {
    sigmas: Sigmas,
    #[input(default = 0, min = 0, max = 10000, beyond = Both)]
    step: i64,
}

impl Run for SplitSigmas {
    type Out = Parts;

    fn run(self, _: &mut Cx) -> anyhow::Result<Parts> {
        let levels = &self.sigmas.0;
        // As Python cuts lists: a negative place counts from the end.
        let count = levels.len() as i64;
        let place = |at: i64| if at < 0 { at.saturating_add(count).max(0) } else { at.min(count) } as usize;
        let (high, low) = (place(self.step.saturating_add(1)), place(self.step));
        Ok(Parts { high: Sigmas(levels[..high].to_vec()), low: Sigmas(levels[low..].to_vec()) })
    }
}

/// Splits noise levels so that the lower part has a share `denoise` of the steps. If that share is less than one step,
/// the upper part is empty.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/sigmas")]
struct SplitSigmasDenoise {
    sigmas: Sigmas,
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01)]
    denoise: f64,
}

impl Run for SplitSigmasDenoise {
    type Out = Parts;

    fn run(self, _: &mut Cx) -> anyhow::Result<Parts> {
        let levels = &self.sigmas.0;
        let steps = (self.sigmas.steps() as f64 * self.denoise).round_ties_even() as usize;
        let high = if steps == 0 { 0 } else { levels.len().saturating_sub(steps) };
        let low = levels.len().saturating_sub(steps + 1);
        Ok(Parts { high: Sigmas(levels[..high].to_vec()), low: Sigmas(levels[low..].to_vec()) })
    }
}

/// Reverses noise levels. If they then start with 0, it becomes 0.0001.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/sigmas")]
struct FlipSigmas {
    sigmas: Sigmas,
}

impl Run for FlipSigmas {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        let mut levels: Vec<f32> = self.sigmas.0.into_iter().rev().collect();
        if let Some(first) = levels.first_mut().filter(|first| **first == 0.0) {
            *first = 0.0001;
        }
        Ok(Sigmas(levels))
    }
}

/// Sets the first noise level.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/sigmas")]
struct SetFirstSigma {
    sigmas: Sigmas,
    #[input(default = 136.0, min = 0.0, max = 20000.0, step = 0.001, beyond = Both)]
    sigma: f64,
}

impl Run for SetFirstSigma {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        let mut levels = self.sigmas.0;
        *levels.first_mut().context("there are no sigmas, so no first one; use a scheduler that gives some")? =
            self.sigma as f32;
        Ok(Sigmas(levels))
    }
}

/// Divides those steps into smaller ones that start between two noise levels.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/sigmas")]
struct ExtendIntermediateSigmas {
    sigmas: Sigmas,
    /// The number of steps that each becomes.
    #[input(default = 2, min = 1, max = 100)]
    steps: i64,
    /// The highest level at which a step is divided; -1 sets no limit.
    #[input(default = -1.0, min = -1.0, max = 20000.0, step = 0.01, beyond = Both)]
    start_at_sigma: f64,
    /// The lowest level at which a step is divided.
    #[input(default = 12.0, min = 0.0, max = 20000.0, step = 0.01, beyond = Both)]
    end_at_sigma: f64,
    spacing: Choice,
}

#[derive(Combo)]
enum Choice {
    Linear,
    Cosine,
    Sine,
}

impl Run for ExtendIntermediateSigmas {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        let start = if self.start_at_sigma < 0.0 { f32::INFINITY } else { self.start_at_sigma as f32 };
        let spacing = match self.spacing {
            Choice::Linear => Spacing::Linear,
            Choice::Cosine => Spacing::Cosine,
            Choice::Sine => Spacing::Sine,
        };
        Ok(extended(&self.sigmas, self.steps, (start, self.end_at_sigma as f32), spacing))
    }
}

#[derive(Outputs)]
struct Level {
    #[output(name = "sigma_value")]
    sigma: f64,
}

/// Gives a model's noise level at a position in the schedule.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/sigmas")]
struct SamplingPercentToSigma {
    model: Model,
    /// The position: 0 is pure noise, 1 the clean picture.
    #[input(default = 0.0, min = 0.0, max = 1.0, step = 0.0001, beyond = Both)]
    sampling_percent: f64,
    /// Whether 0 and 1 give the model's own highest and lowest level, instead of a very large one and 0.
    #[input(default = false)]
    return_actual_sigma: bool,
}

impl Run for SamplingPercentToSigma {
    type Out = Level;

    fn run(self, _: &mut Cx) -> anyhow::Result<Level> {
        let sampling = self.model.sampling();
        let sigma = match (self.return_actual_sigma, self.sampling_percent) {
            (true, 0.0) => f64::from(sampling.sigma_max()),
            (true, 1.0) => f64::from(sampling.sigma_min()),
            (_, percent) => sampling.percent_to_sigma(percent),
        };
        Ok(Level { sigma })
    }
}

/// Reads noise levels from a text: all numbers in it.
#[derive(Node)]
#[node(category = "_for_testing/custom_sampling", experimental)]
struct ManualSigmas {
    #[input(default = "1, 0.5")]
    sigmas: String,
}

/// A number. Exponents are not read.
static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[-+]?\d*\.*\d+").ok());

impl Run for ManualSigmas {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        let pattern = NUMBER.as_ref().context("the pattern for numbers is broken; this is a bug")?;
        let number = |text: &str| {
            let parsed = text.parse::<f64>().map(|number| number as f32);
            parsed.with_context(|| format!("'{text}' is no number; write sigmas such as 14.6, 2.5, 0"))
        };
        let found = pattern.find_iter(&self.sigmas).map(|found| number(found?.as_str()));
        Ok(Sigmas(found.collect::<anyhow::Result<_>>()?))
    }
}
