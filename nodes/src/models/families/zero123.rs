//! Stable Zero123 (Liu et al. 2023, arXiv:2303.11328), which shows a thing from another side.

use anyhow::Result;
use tch::Kind;

use super::stable_diffusion::{self, SD1, shown};
use super::{Family, ModelPart};
use crate::diffusion::extra_conds::{CONTEXT, ExtraCond, ExtraConds};
use crate::diffusion::run_entry::RunEntry;
use crate::files::weights::Weights;
use crate::models::unet::UNet;
use crate::ops::layers::Linear;
use crate::ops::numerics::Placement;

/// Stable Zero123: Stable Diffusion 1.x with a matrix that makes a token of what CLIP sees and the place to look from.
pub(super) const ZERO123: Family = Family {
    name: "Zero123",
    recognise: |w| {
        (SD1.recognise)(w)
            && w.dim("input_blocks.0.0.weight", 1).is_ok_and(|channels| channels == 8)
            && projection(w).contains("weight")
    },
    text_places: &[],
    load: stable_diffusion::load,
    extra_conds: seen,
    ..SD1
};

/// Where a checkpoint has the matrix, beside its UNet.
fn projection(unet: &Weights) -> Weights {
    unet.whole().at("cc_projection")
}

fn seen(part: &ModelPart, prompt: &RunEntry) -> Result<ExtraConds> {
    let conds = shown(part, prompt)?;
    let (cond, wanted) = (&prompt.entry.cond, UNet::context_width_of(&part.weights)?);
    let width = cond.size().last().copied().unwrap_or(0);
    if width == wanted {
        return Ok(conds);
    }
    let matrix = projection(&part.weights).placed(Placement::cpu(Kind::Float));
    let projected =
        Linear::load(&matrix, width, wanted)?.forward(&cond.to_device(tch::Device::Cpu).to_kind(Kind::Float));
    Ok(conds.with(CONTEXT, ExtraCond::Rows(projected)))
}
