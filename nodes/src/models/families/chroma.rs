//! Chroma (Lodestone Rock 2025): Flux's blocks, modulated by one small network, and T5 alone.

use std::rc::Rc;

use super::Family;
use super::flux::with_guidance;
use crate::diffusion::extra_conds::ExtraConds;
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::models::chroma::Chroma;
use crate::models::text_recipes;

/// How far levels are shifted towards noise.
const SHIFT: f64 = 1.15;
/// The guidance of a prompt that says nothing of it.
const USUAL_GUIDANCE: f64 = 0.0;

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
    extra_conds: |_, prompt| Ok(with_guidance(ExtraConds::default(), &prompt.entry.extras, USUAL_GUIDANCE)),
};
