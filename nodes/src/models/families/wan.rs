//! Wan 2.1 and 2.2 (Wan Team 2025, arXiv:2503.20314): from text, from pictures, with control videos (Fun), with control frames (VACE).

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::{Family, ModelPart};
use crate::diffusion::extra_conds::{CHANNELS, ExtraCond, ExtraConds};
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::diffusion::run_entry::{RunEntry, spread_over_batch};
use crate::models::wan::{self, Wan};
use crate::models::{text_recipes, wan_shown};
use crate::ops::resize::{Crop, Method, resize};
use crate::values::extras::{
    CLIP_VISION_OUTPUT, CONCAT_LATENT, CONCAT_MASK, CONCAT_MASK_INDEX, REFERENCE_LATENTS, TIME_DIM_CONCAT, VACE_FRAMES,
    VACE_MASK, VACE_STRENGTH,
};

/// Channels of a mask that is shown: of each latent frame the four frames that it stands for.
const MASKS: i64 = 4;
/// Channels of VACE's masks: of each latent point its pixels.
const PIXELS: i64 = 64;

/// Wan 2.1, and those of Wan 2.2 that share its latents.
pub(super) const WAN21: Family = Family {
    name: "Wan 2.1",
    recognise: |w| w.contains("head.modulation") && w.dim("head.head.weight", 0).is_ok_and(|rows| rows == 4 * 16),
    sampled: |_| Ok((&latent_format::WAN21, Parameterisation::flow(8.0, 1000.0))),
    text: &text_recipes::WAN,
    text_places: &[&["text_encoders.umt5xxl.transformer"]],
    load: |weights, numerics| Ok(Rc::new(Wan::load(weights, numerics)?)),
    extra_conds: conds,
};

/// Wan 2.2's model of 5 billion weights, with latents of its own: from text, and from pictures, which are known frames.
pub(super) const WAN22: Family = Family {
    name: "Wan 2.2",
    recognise: |w| w.contains("head.modulation") && w.dim("head.head.weight", 0).is_ok_and(|rows| rows == 4 * 48),
    sampled: |_| Ok((&latent_format::WAN22, Parameterisation::flow(8.0, 1000.0))),
    extra_conds: |part, prompt| {
        let conds = conds(part, prompt)?;
        Ok(match prompt.noise_mask {
            Some(mask) => conds.with(wan::KNOWN_FRAMES, ExtraCond::Rows(mask.shallow_clone())),
            None => conds,
        })
    },
    ..WAN21
};

fn conds(part: &ModelPart, prompt: &RunEntry) -> Result<ExtraConds> {
    let extras = &prompt.entry.extras;
    let shown = |latent: &Tensor| prompt.latent_format.shown(&latent.to_kind(Kind::Float));
    let mut conds = ExtraConds::default();
    if let Some(beside) = beside(part, prompt)? {
        conds = conds.with(CHANNELS, ExtraCond::Planes(beside));
    }
    if let Some(seen) = extras.get(CLIP_VISION_OUTPUT) {
        conds = conds.with(wan::CLIP_VISION, ExtraCond::Rows(seen));
    }
    if let Some(frames) = extras.get(TIME_DIM_CONCAT) {
        conds = conds.with(wan::FRAMES_BEHIND, ExtraCond::Rows(shown(&frames)));
    }
    if let Some(latent) = extras.get(REFERENCE_LATENTS).and_then(|mut all| all.pop()) {
        ensure!(
            latent.dim() == 5 && latent.size()[2] > 0,
            "a reference latent is shaped {:?}, and Wan's are batch x channels x frames x height x width: encode it with Wan's VAE",
            latent.size()
        );
        conds = conds.with(wan::REFERENCE, ExtraCond::Rows(shown(&latent).select(2, 0)));
    }
    if part.weights.contains("vace_patch_embedding.weight") {
        conds = control_frames(conds, prompt)?;
    }
    Ok(conds)
}

/// What models with further input channels are shown: latents, and a mask of what is to be made anew.
fn beside(part: &ModelPart, prompt: &RunEntry) -> Result<Option<Tensor>> {
    let latent = prompt.latent;
    let [batch, own, frames, height, width] = latent.size()[..] else { return Ok(None) };
    let further = part.weights.dim("patch_embedding.weight", 1)? - own;
    if further <= 0 {
        return Ok(None);
    }
    let fitted = |x: &Tensor| -> Result<Tensor> {
        let x =
            resize(&x.to_device(latent.device()).to_kind(Kind::Float), width, height, Method::Bilinear, Crop::Center)?;
        Ok(spread_over_batch(&x, batch))
    };
    let picture = match prompt.entry.extras.get(CONCAT_LATENT) {
        None => Tensor::zeros([batch, further, frames, height, width], (Kind::Float, latent.device())),
        Some(shown) => {
            let size = shown.size();
            ensure!(
                size.len() == 5 && size[1] % own == 0 && size[2] == frames && shown.numel() > 0,
                "a conditioning shows a latent shaped {size:?} to a model whose latents have {own} channels and here {frames} frames: \
                 encode it with the model's VAE, at the length of the video"
            );
            let parts: Vec<Tensor> =
                fitted(&shown)?.split(own, 1).iter().map(|part| prompt.latent_format.shown(part)).collect();
            Tensor::cat(&parts, 1)
        }
    };
    let has = picture.size()[1];
    // Models from pictures, told by what CLIP saw, take a mask in any case.
    let from_pictures = further == own + MASKS && part.weights.contains("img_emb.proj.0.bias");
    if further != has + MASKS && (!from_pictures || further == has) {
        return Ok(Some(picture));
    }
    let picture = picture.narrow(1, 0, has.min(further - MASKS));
    let mask = mask(prompt, [batch, frames, height, width], &fitted)?;
    let at = prompt.entry.extras.get(CONCAT_MASK_INDEX).unwrap_or(0).clamp(0, picture.size()[1]);
    let behind = picture.size()[1] - at;
    Ok(Some(Tensor::cat(&[picture.narrow(1, 0, at), mask, picture.narrow(1, at, behind)], 1)))
}

/// The mask that the prompt brings, or the run's own: B×4×T×h×w, 1 = kept; zeros without one.
fn mask(
    prompt: &RunEntry,
    [batch, frames, height, width]: [i64; 4],
    fitted: &dyn Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let own = prompt.noise_mask.map(Tensor::shallow_clone);
    let Some(mask) = prompt.entry.extras.get(CONCAT_MASK).or(own) else {
        return Ok(Tensor::zeros([batch, MASKS, frames, height, width], (Kind::Float, prompt.latent.device())));
    };
    let size = mask.size();
    ensure!(
        size.len() == 5 && size[2] <= frames && mask.numel() > 0,
        "the mask of a conditioning is shaped {size:?}, and the video has {frames} latent frames: use a node for Wan at the same length"
    );
    let mask = mask.to_kind(Kind::Float);
    let mask = if size[1] == MASKS { mask } else { mask.mean_dim([1i64].as_slice(), true, Kind::Float) };
    let mask = fitted(&(1.0 - mask))?.constant_pad_nd([0, 0, 0, 0, 0, frames - size[2]]);
    Ok(if mask.size()[1] == 1 { mask.repeat([1, MASKS, 1, 1, 1]) } else { mask })
}

/// VACE's control frames; without any, empty ones that are to be made anew.
fn control_frames(conds: ExtraConds, prompt: &RunEntry) -> Result<ExtraConds> {
    let (latent, extras) = (prompt.latent, &prompt.entry.extras);
    let of_channels = |channels: i64| {
        let mut size = latent.size();
        size[1] = channels;
        size
    };
    let own = latent.size()[1];
    let options = (Kind::Float, latent.device());
    let frames = extras.get(VACE_FRAMES).unwrap_or_else(|| vec![Tensor::zeros(of_channels(2 * own), options)]);
    let masks = extras
        .get(VACE_MASK)
        .unwrap_or_else(|| frames.iter().map(|_| Tensor::ones(of_channels(PIXELS), options)).collect());
    let strengths = extras.get(VACE_STRENGTH).unwrap_or_else(|| vec![1.0; frames.len()]);
    let place = |x: &Tensor| x.to_device(latent.device()).to_kind(Kind::Float);
    ensure!(
        masks.len() == frames.len() && strengths.len() == frames.len(),
        "a conditioning has {} control videos, {} masks of them and {} strengths: set all three with WanVaceToVideo",
        frames.len(),
        masks.len(),
        strengths.len()
    );
    let mut all = Vec::with_capacity(frames.len());
    for (frames, mask) in frames.iter().zip(&masks) {
        let mut parts: Vec<Tensor> =
            place(frames).f_split(own, 1)?.iter().map(|part| prompt.latent_format.shown(part)).collect();
        parts.push(place(mask));
        all.push(Tensor::f_cat(&parts, 1)?);
    }
    let strengths: Vec<f32> = strengths.iter().map(|&strength| strength as f32).collect();
    Ok(conds
        .with(wan_shown::VACE_CONTEXT, ExtraCond::Rows(Tensor::f_stack(&all, 1)?))
        .with(wan_shown::VACE_STRENGTH, ExtraCond::Rows(Tensor::from_slice(&strengths).unsqueeze(0))))
}
