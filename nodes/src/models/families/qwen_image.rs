//! Qwen-Image (Alibaba 2025), with Qwen-Image-Edit and Qwen-Image-Layered.

use std::rc::Rc;

use super::Family;
use crate::diffusion::extra_conds::ExtraConds;
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::models::qwen_image::QwenImage;
use crate::models::text_recipes;

/// The shift of its noise levels, as an exponent.
const SHIFT: f64 = 1.15;

/// Qwen-Image.
pub(super) const QWEN_IMAGE: Family = Family {
    name: "Qwen-Image",
    recognise: |w| w.contains("txt_norm.weight") && w.contains("transformer_blocks.0.attn.norm_q.weight"),
    sampled: |_| Ok((&latent_format::WAN21, Parameterisation::log_shifted_flow(SHIFT))),
    text: &text_recipes::QWEN_IMAGE,
    text_places: &[&["text_encoders.qwen25_7b.transformer"]],
    load: |weights, numerics| Ok(Rc::new(QwenImage::load(weights, numerics)?)),
    extra_conds: |_, prompt| Ok(prompt.with_references(ExtraConds::default())),
};
