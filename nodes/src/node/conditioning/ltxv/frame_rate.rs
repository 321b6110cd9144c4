use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use crate::values::Conditioning;
use crate::values::extras::FRAME_RATE;

/// Tells LTX-Video how many frames a second has.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct LTXVConditioning {
    positive: Conditioning,
    negative: Conditioning,
    /// Frames in a second.
    #[input(default = 25.0, min = 0.0, max = 1000.0, step = 0.01)]
    frame_rate: f64,
}

#[derive(Outputs)]
struct Told {
    #[output(name = "positive")]
    positive: Conditioning,
    #[output(name = "negative")]
    negative: Conditioning,
}

impl Run for LTXVConditioning {
    type Out = Told;

    fn run(self, _: &mut Cx) -> anyhow::Result<Told> {
        let told = |prompt: Conditioning| prompt.map(|entry| entry.extras.set(FRAME_RATE, self.frame_rate));
        Ok(Told { positive: told(self.positive), negative: told(self.negative) })
    }
}
