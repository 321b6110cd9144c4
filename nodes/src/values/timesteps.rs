//! TIMESTEPS_RANGE: a part of the schedule.

/// A part of the schedule: 0 is pure noise, 1 the clean picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimestepsRange {
    pub start: f64,
    pub end: f64,
}

/// HOOKS: changes to a model that go with a conditioning. No node here makes any.
#[derive(Debug, Clone, Copy)]
pub enum ConditioningHooks {}
