//! Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv:2403.03206).

use std::rc::Rc;

use super::Family;
use crate::diffusion::extra_conds::{ExtraCond, ExtraConds, VECTOR};
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::models::sd3::Sd3;
use crate::models::text_recipes;
use crate::values::extras::POOLED;

/// Stable Diffusion 3 and 3.5.
pub(super) const SD3: Family = Family {
    name: "Stable Diffusion 3",
    recognise: |w| w.contains("joint_blocks.0.context_block.attn.qkv.weight") && w.contains("pos_embed"),
    sampled: |_| Ok((&latent_format::SD3, Parameterisation::flow(3.0, 1000.0))),
    text: &text_recipes::SD3,
    text_places: &[
        &["text_encoders.clip_l.transformer"],
        &["text_encoders.clip_g.transformer"],
        &["text_encoders.t5xxl.transformer"],
    ],
    load: |weights, numerics| Ok(Rc::new(Sd3::load(weights, numerics)?)),
    extra_conds: |_, prompt| {
        let conds = ExtraConds::default();
        Ok(match prompt.entry.extras.get(POOLED) {
            Some(pooled) => conds.with(VECTOR, ExtraCond::Rows(pooled)),
            None => conds,
        })
    },
};
