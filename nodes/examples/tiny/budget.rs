//! How long a stage trains, and the learning rate on the way.

use std::time::Instant;

/// The length of a stage: seconds where a machine is lent by the minute, steps where the result must not depend on time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Budget {
    Seconds(f64),
    Steps(u64),
}

/// The last part of a budget in which the learning rate falls to 0.
const DECAY: f64 = 0.3;

/// A budget that is being spent.
pub(crate) struct Clock {
    budget: Budget,
    start: Instant,
    done: u64,
}

impl Clock {
    pub(crate) fn start(budget: Budget) -> Self {
        Self { budget, start: Instant::now(), done: 0 }
    }

    /// Seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Counts one step.
    pub(crate) fn tick(&mut self) {
        self.done += 1;
    }

    /// Steps counted.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// The part of the budget that is spent, 0 to 1.
    pub(crate) fn progress(&self) -> f64 {
        let part = match self.budget {
            Budget::Seconds(seconds) => self.seconds() / seconds,
            Budget::Steps(steps) => self.done as f64 / steps as f64,
        };
        if part.is_nan() { 1.0 } else { part.min(1.0) }
    }
}

/// The learning rate at a part of the budget: it rises over the first `warm_up` of all steps ever made, and falls to 0 at the end.
pub(crate) fn rate(highest: f64, progress: f64, steps: u64, warm_up: u64) -> f64 {
    let rise = (steps + 1) as f64 / warm_up.max(1) as f64;
    let fall = (1.0 - progress) / DECAY;
    highest * rise.min(1.0) * fall.clamp(0.0, 1.0)
}
