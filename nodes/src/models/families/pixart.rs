//! PixArt-α and PixArt-Σ (Chen et al. 2023 and 2024).

use std::rc::Rc;

use tch::Tensor;

use super::Family;
use crate::diffusion::extra_conds::{ExtraCond, ExtraConds};
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::files::weights::Weights;
use crate::models::pixart::{self, PixArt};
use crate::models::text_recipes;
use crate::values::extras::{HEIGHT, WIDTH};

/// PixArt-Σ, whose latents are SDXL's.
pub(super) const PIXART_SIGMA: Family = Family {
    name: "PixArt-Σ",
    recognise: |w| is_pixart(w) && !knows_sizes(w),
    sampled: |_| Ok((&latent_format::SDXL, Parameterisation::linear(0.0001, 0.02))),
    text: &text_recipes::CHROMA,
    text_places: &[&["text_encoders.t5xxl.transformer"]],
    load: |weights, numerics| Ok(Rc::new(PixArt::load(weights, numerics)?)),
    extra_conds: |_, prompt| {
        let extras = &prompt.entry.extras;
        let (Some(width), Some(height)) = (extras.get(WIDTH), extras.get(HEIGHT)) else {
            return Ok(ExtraConds::default());
        };
        let row = |numbers: &[f32]| ExtraCond::Rows(Tensor::from_slice(numbers).unsqueeze(0));
        let aspect = (height as f64 / width.max(1) as f64) as f32;
        Ok(ExtraConds::default()
            .with(pixart::SIZE, row(&[height as f32, width as f32]))
            .with(pixart::ASPECT, row(&[aspect])))
    },
};

/// PixArt-α, whose latents are Stable Diffusion's, and which is told the picture's size.
pub(super) const PIXART_ALPHA: Family = Family {
    name: "PixArt-α",
    recognise: |w| is_pixart(w) && knows_sizes(w),
    sampled: |_| Ok((&latent_format::SD15, Parameterisation::linear(0.0001, 0.02))),
    ..PIXART_SIGMA
};

fn is_pixart(w: &Weights) -> bool {
    w.contains("t_block.1.weight") && w.contains("y_embedder.y_proj.fc1.weight") && w.contains("x_embedder.proj.weight")
}

fn knows_sizes(w: &Weights) -> bool {
    w.contains("ar_embedder.mlp.0.weight")
}
