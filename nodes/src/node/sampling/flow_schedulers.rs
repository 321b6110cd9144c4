//! Noise levels for Flux 2 and LTX-Video.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::sampling::schedules::{flow_shifted, stretched_to};
use crate::values::{Latent, Sigmas};

/// The noise levels of Flux 2.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct Flux2Scheduler {
    #[input(default = 20, min = 1, max = 4096)]
    steps: usize,
    /// The picture's width in pixels.
    #[input(default = 1024, min = 16, max = 16384, step = 1)]
    width: i64,
    /// The picture's height in pixels.
    #[input(default = 1024, min = 16, max = 16384, step = 1)]
    height: i64,
}

impl Run for Flux2Scheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        let patches = ((self.width * self.height) as f64 / 256.0).round_ties_even();
        // Lines through measured shifts at 10 and 200 steps. For large pictures the second is used alone.
        let many = 0.00016927 * patches + 0.45666666;
        let few = 8.73809524e-05 * patches + 1.89833333;
        let slope = (many - few) / 190.0;
        let shift = if patches > 4300.0 { many } else { slope * self.steps as f64 + (many - 200.0 * slope) };
        Ok(Sigmas(flow_shifted(self.steps, shift)))
    }
}

/// The noise levels of LTX-Video.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/schedulers")]
struct LTXVScheduler {
    #[input(default = 20, min = 1, max = 10000)]
    steps: usize,
    /// The shift for a latent of 4096 pixels.
    #[input(default = 2.05, min = 0.0, max = 100.0, step = 0.01)]
    max_shift: f64,
    /// The shift for a latent of 1024 pixels.
    #[input(default = 0.95, min = 0.0, max = 100.0, step = 0.01)]
    base_shift: f64,
    /// Whether the levels are stretched so that the last one above 0 is `terminal`.
    #[input(default = true)]
    stretch: bool,
    /// The last level above 0.
    #[input(default = 0.1, min = 0.0, max = 0.99, step = 0.01)]
    terminal: f64,
    /// The latent whose size counts. If it is missing, the size is 4096 pixels.
    latent: Option<Latent>,
}

impl Run for LTXVScheduler {
    type Out = Sigmas;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sigmas> {
        let places = self.latent.map_or(4096, |latent| latent.samples.size().iter().skip(2).product::<i64>());
        let slope = (self.max_shift - self.base_shift) / (4096.0 - 1024.0);
        let shift = places as f64 * slope + (self.base_shift - slope * 1024.0);
        let levels = flow_shifted(self.steps, shift);
        Ok(Sigmas(if self.stretch { stretched_to(&levels, self.terminal) } else { levels }))
    }
}
