//! Flux (Black Forest Labs 2024): dev, schnell, Fill, Kontext, and files of their layout.

use std::rc::Rc;

use anyhow::Result;
use tch::Tensor;

use super::Family;
use crate::diffusion::extra_conds::{CHANNELS, ExtraCond, ExtraConds, VECTOR};
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::diffusion::run_entry::RunEntry;
use crate::files::weights::Weights;
use crate::models::flux::{self, Flux};
use crate::models::text_recipes;
use crate::values::extras::{Extras, GUIDANCE, POOLED};

/// Latent points that a token has along a side, squared.
const PATCH: i64 = 4;
/// The guidance of a prompt that says nothing of it.
const USUAL_GUIDANCE: f64 = 3.5;
/// The shift of models that were distilled with a guidance.
const SHIFT: f64 = 1.15;

/// Flux.
pub(super) const FLUX: Family = Family {
    name: "Flux",
    recognise: |w| {
        w.contains("double_blocks.0.img_attn.norm.key_norm.scale")
            && w.contains("vector_in.in_layer.weight")
            && w.contains("img_in.weight")
    },
    sampled: |found| {
        // schnell needs no guidance, and its levels are not shifted.
        let guided = found.network.contains("guidance_in.in_layer.weight");
        let sampling =
            if guided { Parameterisation::log_shifted_flow(SHIFT) } else { Parameterisation::flow(1.0, 1.0) };
        Ok((&latent_format::FLUX, sampling))
    },
    text: &text_recipes::FLUX,
    text_places: &[&["text_encoders.clip_l.transformer"], &["text_encoders.t5xxl.transformer"]],
    load: |weights, numerics| Ok(Rc::new(Flux::load(weights, numerics)?)),
    extra_conds: |part, prompt| {
        let extras = &prompt.entry.extras;
        let mut conds = ExtraConds::default();
        if let Some(beside) = beside(&part.weights, prompt)? {
            conds = conds.with(CHANNELS, ExtraCond::Planes(beside));
        }
        if let Some(pooled) = extras.get(POOLED) {
            conds = conds.with(VECTOR, ExtraCond::Rows(pooled));
        }
        Ok(prompt.with_references(with_guidance(conds, extras, USUAL_GUIDANCE)))
    },
};

/// With the guidance of a prompt, or `usual` where it says nothing of it. None at all, as FluxDisableGuidance asks for, is another thing.
pub(super) fn with_guidance(conds: ExtraConds, extras: &Extras, usual: f64) -> ExtraConds {
    if extras.is_null(GUIDANCE) {
        return conds;
    }
    let guidance = extras.get(GUIDANCE).unwrap_or(usual);
    conds.with(flux::GUIDANCE, ExtraCond::Rows(Tensor::from_slice(&[guidance as f32])))
}

/// What models with further input channels are shown: the latent of a picture, and with three times as many channels and more a mask, of
/// which each of the 64 pixels under a latent point is a channel.
fn beside(network: &Weights, prompt: &RunEntry) -> Result<Option<Tensor>> {
    let (takes, own) = (network.dim("img_in.weight", 1)? / PATCH, prompt.latent_format.channels);
    if takes <= own {
        return Ok(None);
    }
    let picture = prompt.shown_or_empty()?;
    if takes <= 2 * own {
        return Ok(Some(picture));
    }
    Ok(Some(Tensor::cat(&[picture, prompt.mask_by_pixel()?], 1)))
}
