use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::Patched;
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, Pair};

/// Rescales the predicted noise, more so at low noise levels, for more or less detail.
///
/// Temporal score rescaling (2025, arXiv:2510.01184, equation 6).
#[derive(Node)]
#[node(category = "model_patches/unet", display = "TSR - Temporal Score Rescaling")]
struct TemporalScoreRescaling {
    model: Model,
    /// Below 1 gives more detail, above 1 less; 1 changes nothing.
    #[input(default = 0.95, min = 0.01, max = 100.0, step = 0.001)]
    tsr_k: f64,
    /// The larger this is, the earlier in the schedule the rescaling takes effect.
    #[input(default = 1.0, min = 0.01, max = 100.0, step = 0.001)]
    tsr_sigma: f64,
}

impl Run for TemporalScoreRescaling {
    type Out = Patched;

    fn run(self, _: &mut Cx) -> anyhow::Result<Patched> {
        let hook = Rescaled { k: self.tsr_k, variance: self.tsr_sigma * self.tsr_sigma };
        Ok(Patched { model: self.model.with_hook(hook) })
    }
}

#[derive(Debug)]
struct Rescaled {
    k: f64,
    variance: f64,
}

impl Hook for Rescaled {
    fn after_guidance(&self, denoised: Tensor, _: &Pair, evaluation: &Evaluation) -> anyhow::Result<Tensor> {
        let half_log = evaluation.sampling.half_log_snr(evaluation.sigma);
        let snr = (2.0 * half_log).exp();
        if self.k == 1.0 || snr == 0.0 {
            return Ok(denoised);
        }
        let factor = match snr.is_infinite() {
            true => self.k,
            false => (snr * self.variance + 1.0) / (snr * self.variance / self.k + 1.0),
        };
        let signal = evaluation.sigma * half_log.exp();
        Ok((evaluation.x / signal).lerp(&denoised, factor))
    }
}
