//! LTX-Video 0.9 (Lightricks 2024): from text, and with pictures that stand in the video.

use std::rc::Rc;

use super::Family;
use crate::diffusion::extra_conds::{ExtraCond, ExtraConds};
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::models::ltxv::{self, Ltxv};
use crate::models::text_recipes;
use crate::values::extras::{ATTENTION_MASK, CONCAT_MASK, FRAME_RATE, KEYFRAMES};

/// How far levels are shifted towards noise.
const SHIFT: f64 = 2.37;
/// Frames in a second, of a prompt that says nothing of it.
const USUAL_RATE: f64 = 25.0;

/// LTX-Video.
pub(super) const LTXV: Family = Family {
    name: "LTX-Video",
    recognise: |w| {
        w.contains("adaln_single.emb.timestep_embedder.linear_1.bias")
            && w.contains("patchify_proj.weight")
            && !w.contains("audio_adaln_single.linear.weight")
    },
    sampled: |_| Ok((&latent_format::LTXV, Parameterisation::log_shifted_flow(SHIFT))),
    text: &text_recipes::LTXV,
    text_places: &[&["text_encoders.t5xxl.transformer"]],
    load: |weights, numerics| Ok(Rc::new(Ltxv::load(weights, numerics)?)),
    extra_conds: |_, prompt| {
        let extras = &prompt.entry.extras;
        let rate = extras.get(FRAME_RATE).unwrap_or(USUAL_RATE);
        let mut conds = ExtraConds::default().with(ltxv::FRAME_RATE, ExtraCond::Constant(format!("{rate:?}")));
        if let Some(mask) = extras.get(ATTENTION_MASK) {
            conds = conds.with(ltxv::ATTENTION_MASK, ExtraCond::Rows(mask));
        }
        let own = prompt.noise_mask.map(tch::Tensor::shallow_clone);
        if let Some(mask) = extras.get(CONCAT_MASK).or(own) {
            conds = conds.with(ltxv::DENOISE_MASK, ExtraCond::Rows(mask));
        }
        if let Some(keyframes) = extras.get(KEYFRAMES) {
            conds = conds.with(ltxv::KEYFRAMES, ExtraCond::Rows(keyframes));
        }
        Ok(conds)
    },
};
