//! HiDream (HiDream.ai 2025): I1, which draws from text, and E1, which changes a picture.

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::Family;
use crate::diffusion::extra_conds::{ExtraCond, ExtraConds, VECTOR};
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::diffusion::run_entry::RunEntry;
use crate::models::hidream::{self, HiDream};
use crate::models::text_recipes;
use crate::values::extras::{CONCAT_LATENT, LANGUAGE_LAYERS, POOLED};

/// HiDream, whose latents are Flux's.
pub(super) const HIDREAM: Family = Family {
    name: "HiDream",
    recognise: |w| {
        w.contains("caption_projection.0.linear.weight") && w.contains("double_stream_blocks.0.block.attn1.to_q.weight")
    },
    sampled: |_| Ok((&latent_format::FLUX, Parameterisation::flow(1.0, 1000.0))),
    text: &text_recipes::HIDREAM,
    text_places: &[
        &["text_encoders.clip_l.transformer"],
        &["text_encoders.clip_g.transformer"],
        &["text_encoders.t5xxl.transformer"],
        &["text_encoders.llama.transformer"],
    ],
    load: |weights, numerics| Ok(Rc::new(HiDream::load(weights, numerics)?)),
    extra_conds: |_, prompt| {
        let extras = &prompt.entry.extras;
        let mut conds = ExtraConds::default();
        if let Some(pooled) = extras.get(POOLED) {
            conds = conds.with(VECTOR, ExtraCond::Rows(pooled));
        }
        if let Some(layers) = extras.get(LANGUAGE_LAYERS) {
            conds = conds.with(hidream::LAYERS, ExtraCond::Rows(layers));
        }
        if let Some(shown) = extras.get(CONCAT_LATENT) {
            conds = conds.with(hidream::SHOWN, ExtraCond::Planes(of_run(&shown, prompt)?));
        }
        Ok(conds)
    },
};

/// The latent of a picture that is to be changed, in the network's scale.
///
/// # Errors
/// It is of another size than the run's latents.
fn of_run(shown: &Tensor, prompt: &RunEntry) -> Result<Tensor> {
    let (size, own) = (shown.size(), prompt.latent.size());
    ensure!(
        size.len() == 4 && size[1..] == own[1..],
        "the prompt shows a latent shaped {size:?} to HiDream, which draws one shaped {own:?}: show it one of the same sides, encoded with the \
         model's VAE"
    );
    let shown = shown.to_kind(Kind::Float).to_device(prompt.latent.device());
    Ok(prompt.latent_format.in_network_scale(&shown))
}
