//! Z-Image (Alibaba 2025).

use std::rc::Rc;

use super::Family;
use crate::diffusion::extra_conds::ExtraConds;
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::models::text_recipes;
use crate::models::z_image::ZImage;

/// Z-Image.
pub(super) const Z_IMAGE: Family = Family {
    name: "Z-Image",
    recognise: |w| w.contains("cap_embedder.1.weight") && w.contains("cap_pad_token"),
    sampled: |_| Ok((&latent_format::FLUX, Parameterisation::flow(3.0, 1.0))),
    text: &text_recipes::Z_IMAGE,
    text_places: &[&["text_encoders.qwen3_4b.transformer"]],
    load: |weights, numerics| Ok(Rc::new(ZImage::load(weights, numerics)?)),
    extra_conds: |_, _| Ok(ExtraConds::default()),
};
