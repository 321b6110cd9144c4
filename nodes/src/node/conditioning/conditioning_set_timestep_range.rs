use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Conditioning;

/// Restricts a conditioning to a part of the schedule.
#[derive(Node)]
#[node(category = "advanced/conditioning")]
struct ConditioningSetTimestepRange {
    conditioning: Conditioning,
    /// Where the part begins: 0 is pure noise.
    #[input(default = 0.0, min = 0.0, max = 1.0, step = 0.001, beyond = Both)]
    start: f64,
    /// Where the part ends: 1 is the clean picture.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.001, beyond = Both)]
    end: f64,
}

impl Run for ConditioningSetTimestepRange {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        let (start, end) = (Some(self.start), Some(self.end));
        Ok(self.conditioning.map(|entry| (entry.start_percent, entry.end_percent) = (start, end)))
    }
}
