mod apg;
mod cfg_norm;
mod cfg_zero_star;
mod epsilon_scaling;
mod fresca;
mod mahiro;
mod perp_neg;
mod perturbed_attention_guidance;
mod renorm_cfg;
mod rescale_cfg;
mod self_attention_guidance;
mod skip_layer_guidance;
mod tcfg;
mod temporal_score_rescaling;
mod video_cfg_guidance;

use redraft_engine::Outputs;

use crate::recipes::Model;

/// An output `patched_model`.
#[derive(Outputs)]
struct Patched {
    #[output(name = "patched_model")]
    model: Model,
}

/// All dimensions but the batch.
const WHOLE: &[i64] = &[1, 2, 3];
