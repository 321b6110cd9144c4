//! AuraFlow (fal 2024), and Pony v7, which is built of it.

use std::rc::Rc;

use super::Family;
use crate::diffusion::extra_conds::ExtraConds;
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::models::aura_flow::AuraFlow;
use crate::models::text_recipes;

/// How far levels are shifted towards noise.
const SHIFT: f64 = 1.73;

/// AuraFlow, whose latents are SDXL's.
pub(super) const AURA_FLOW: Family = Family {
    name: "AuraFlow",
    recognise: |w| {
        w.contains("double_layers.0.attn.w1q.weight")
            && w.contains("positional_encoding")
            && w.contains("init_x_linear.weight")
    },
    sampled: |_| Ok((&latent_format::SDXL, Parameterisation::flow(SHIFT, 1.0))),
    text: &text_recipes::AURA_FLOW,
    text_places: &[&["text_encoders.pile_t5xl.transformer"]],
    load: |weights, numerics| Ok(Rc::new(AuraFlow::load(weights, numerics)?)),
    extra_conds: |_, _| Ok(ExtraConds::default()),
};
