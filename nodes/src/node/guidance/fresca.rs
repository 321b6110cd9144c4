use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::ops::frequencies::scaled_frequencies;
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook};

/// Scales the low and the high frequencies of the guidance differently (Huang et al. 2025, arXiv:2504.02154).
#[derive(Node)]
#[node(category = "_for_testing", experimental)]
struct FreSca {
    model: Model,
    /// Factor on the low frequencies.
    #[input(default = 1.0, min = 0, max = 10, step = 0.01)]
    scale_low: f64,
    /// Factor on the high frequencies.
    #[input(default = 1.25, min = 0, max = 10, step = 0.01)]
    scale_high: f64,
    /// The number of frequencies on each side of 0 that count as low.
    #[input(default = 20, min = 1, max = 10000, step = 1)]
    freq_cutoff: i64,
}

impl Run for FreSca {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let Self { model, scale_low: low, scale_high: high, freq_cutoff: cutoff } = self;
        Ok(model.with_hook(Scaled { low, high, cutoff }))
    }
}

#[derive(Debug)]
struct Scaled {
    low: f64,
    high: f64,
    cutoff: i64,
}

impl Hook for Scaled {
    fn before_guidance(&self, predictions: &mut [Tensor], evaluation: &Evaluation) -> anyhow::Result<()> {
        if let [cond, uncond, ..] = predictions
            && evaluation.guided
        {
            let band = |side: i64| {
                let reach = self.cutoff.min(side / 2);
                (side / 2 - reach, 2 * reach)
            };
            *cond = scaled_frequencies(&(&*cond - &*uncond), band, self.low, self.high) + &*uncond;
        }
        Ok(())
    }
}
