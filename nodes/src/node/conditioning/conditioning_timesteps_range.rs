use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use crate::values::TimestepsRange;

/// Gives a part of the schedule as a timestep range, and the ranges before and after it.
#[derive(Node)]
#[node(category = "advanced/hooks", display = "Timesteps Range", experimental)]
struct ConditioningTimestepsRange {
    /// Where the range begins: 0 is pure noise.
    #[input(default = 0.0, min = 0.0, max = 1.0, step = 0.001)]
    start_percent: f64,
    /// Where the range ends: 1 is the clean picture.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.001)]
    end_percent: f64,
}

#[derive(Outputs)]
struct Ranges {
    #[output(name = "TIMESTEPS_RANGE")]
    range: TimestepsRange,
    #[output(name = "BEFORE_RANGE")]
    before: TimestepsRange,
    #[output(name = "AFTER_RANGE")]
    after: TimestepsRange,
}

impl Run for ConditioningTimestepsRange {
    type Out = Ranges;

    fn run(self, _: &mut Cx) -> anyhow::Result<Ranges> {
        let (start, end) = (self.start_percent, self.end_percent);
        Ok(Ranges {
            range: TimestepsRange { start, end },
            before: TimestepsRange { start: 0.0, end: start },
            after: TimestepsRange { start: end, end: 1.0 },
        })
    }
}
