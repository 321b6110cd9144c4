//! Chroma (Lodestone Rock 2025): Flux's blocks, modulated by one small network, and T5 alone.

use std::rc::Rc;

use tch::Tensor;

use super::Family;
use crate::diffusion::extra_conds::{ExtraCond, ExtraConds};
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::models::chroma::Chroma;
use crate::models::{flux, text_recipes};
use crate::values::extras::GUIDANCE;

/// How far levels are shifted towards noise.
const SHIFT: f64 = 1.15;

/// Chroma.
pub(super) const CHROMA: Family = Family {
    name: "Chroma",
    recognise: |w| {
        w.contains("double_blocks.0.img_attn.norm.key_norm.scale")
            && w.contains("distilled_guidance_layer.norms.0.scale")
            && w.contains("img_in.weight")
    },
    sampled: |_| Ok((&latent_format::FLUX, Parameterisation::log_shifted_flow(SHIFT))),
    text: &text_recipes::CHROMA,
    text_places: &[&["cond_stage_model.t5xxl.transformer", "text_encoders.t5xxl.transformer"]],
    load: |weights, numerics| Ok(Rc::new(Chroma::load(weights, numerics)?)),
    extra_conds: |_, prompt| {
        let extras = &prompt.entry.extras;
        let conds = ExtraConds::default();
        if extras.is_null(GUIDANCE) {
            return Ok(conds);
        }
        let guidance = extras.get(GUIDANCE).unwrap_or(0.0) as f32;
        Ok(conds.with(flux::GUIDANCE, ExtraCond::Rows(Tensor::from_slice(&[guidance]))))
    },
};
