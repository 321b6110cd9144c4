//! HunyuanVideo (Tencent 2024): from text, and from a picture, shown beside the latent, as its first frame, or to go by.

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::flux::with_guidance;
use super::{Family, ModelPart};
use crate::diffusion::extra_conds::{CHANNELS, ExtraCond, ExtraConds, VECTOR};
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::Parameterisation;
use crate::diffusion::run_entry::{RunEntry, spread_over_batch};
use crate::files::names::Names;
use crate::files::weights::Weights;
use crate::models::hunyuan_video::{self, HunyuanVideo};
use crate::models::text_recipes;
use crate::ops::resize::{Crop, Method, resize};
use crate::values::extras::{CONCAT_LATENT, CONCAT_MASK, FIRST_FRAME, POOLED, REFERENCE_LATENT};

/// Channels of a latent.
const OWN: i64 = 16;
/// The guidance of a prompt that says nothing of it.
const USUAL_GUIDANCE: f64 = 6.0;

/// HunyuanVideo.
pub(super) const HUNYUAN_VIDEO: Family = Family {
    name: "HunyuanVideo",
    recognise: |w| {
        w.contains("txt_in.individual_token_refiner.blocks.0.norm1.weight")
            && w.contains("double_blocks.0.img_attn.norm.key_norm.scale")
            && w.contains("vector_in.in_layer.weight")
            && [OWN, 2 * OWN, 2 * OWN + 1]
                .iter()
                .any(|&n| w.dim("img_in.proj.weight", 1).is_ok_and(|inputs| inputs == n))
            && !w.contains("vision_in.proj.0.weight")
    },
    sampled: |_| Ok((&latent_format::HUNYUAN_VIDEO, Parameterisation::flow(7.0, 1000.0))),
    text: &text_recipes::HUNYUAN_VIDEO,
    text_places: &[&["text_encoders.clip_l.transformer"], &["text_encoders.llama.transformer"]],
    load: |weights, numerics| Ok(Rc::new(HunyuanVideo::load(weights, numerics)?)),
    extra_conds: |part, prompt| {
        let extras = &prompt.entry.extras;
        let mut conds = ExtraConds::default();
        if let Some(beside) = beside(part, prompt)? {
            conds = conds.with(CHANNELS, ExtraCond::Planes(beside));
        }
        if let Some(pooled) = extras.get(POOLED) {
            conds = conds.with(VECTOR, ExtraCond::Rows(pooled));
        }
        conds = with_guidance(conds, extras, USUAL_GUIDANCE);
        if let Some(first) = extras.get(FIRST_FRAME) {
            conds = conds.with(hunyuan_video::FIRST_FRAME, ExtraCond::Rows(Tensor::from_slice(&[first as f32])));
        }
        if let Some(reference) = extras.get(REFERENCE_LATENT) {
            let shown = prompt.latent_format.in_network_scale(&reference.to_kind(Kind::Float));
            conds = conds.with(hunyuan_video::REFERENCE, ExtraCond::Rows(shown));
        }
        Ok(conds)
    },
};

/// What models with further input channels are shown: the latent of a picture, and a mask of what is kept.
fn beside(part: &ModelPart, prompt: &RunEntry) -> Result<Option<Tensor>> {
    let further = part.weights.dim("img_in.proj.weight", 1)? - OWN;
    let latent = prompt.latent;
    let [batch, _, frames, height, width] = latent.size()[..] else { return Ok(None) };
    if further <= 0 {
        return Ok(None);
    }
    let fitted = |x: &Tensor| resize(x, width, height, Method::Bilinear, Crop::Center);
    let picture = match prompt.entry.extras.get(CONCAT_LATENT) {
        None => latent.shallow_clone(),
        Some(shown) => {
            let size = shown.size();
            ensure!(
                size.len() == 5 && size[1] == OWN && shown.numel() > 0,
                "a conditioning shows a latent shaped {size:?} to HunyuanVideo, whose latents have {OWN} channels and frames: encode it with \
                 the model's VAE"
            );
            let shown = shown.to_kind(Kind::Float).to_device(latent.device());
            let shown = prompt.latent_format.in_network_scale(&shown);
            let shown = if size[1..] == latent.size()[1..] { shown } else { fitted(&shown)? };
            match frames - shown.size()[2] {
                missing if missing > 0 => shown.constant_pad_nd([0, 0, 0, 0, 0, missing]),
                _ => shown.narrow(2, 0, frames),
            }
        }
    };
    let picture = spread_over_batch(&picture, batch);
    if further == OWN {
        return Ok(Some(picture));
    }
    let own = prompt.noise_mask.map(Tensor::shallow_clone);
    let kept = match prompt.entry.extras.get(CONCAT_MASK).or(own) {
        None => Tensor::zeros([batch, 1, frames, height, width], (Kind::Float, latent.device())),
        Some(mask) => {
            let size = mask.size();
            ensure!(
                size.len() == 5 && size[2] == frames,
                "the mask of a conditioning is shaped {size:?}, and the video has {frames} latent frames: use HunyuanImageToVideo at the same \
                 length"
            );
            let mask = mask.narrow(1, 0, 1).to_kind(Kind::Float).to_device(latent.device());
            let mask = if size[3..] == [height, width] { mask } else { fitted(&mask)? };
            1.0 - spread_over_batch(&mask.round(), batch)
        }
    };
    Ok(Some(Tensor::cat(&[picture, kept], 1)))
}

/// Parts of names in the first release's files, and what they are called in Flux's, in this order.
const RENAMED: [(&str, &str); 17] = [
    ("txt_in.t_embedder.mlp.0.", "txt_in.t_embedder.in_layer."),
    ("txt_in.t_embedder.mlp.2.", "txt_in.t_embedder.out_layer."),
    ("txt_in.c_embedder.linear_1.", "txt_in.c_embedder.in_layer."),
    ("txt_in.c_embedder.linear_2.", "txt_in.c_embedder.out_layer."),
    ("_mod.linear.", "_mod.lin."),
    ("_attn_qkv.", "_attn.qkv."),
    ("mlp.fc1.", "mlp.0."),
    ("mlp.fc2.", "mlp.2."),
    ("_attn_q_norm.weight", "_attn.norm.query_norm.scale"),
    ("_attn_k_norm.weight", "_attn.norm.key_norm.scale"),
    (".q_norm.weight", ".norm.query_norm.scale"),
    (".k_norm.weight", ".norm.key_norm.scale"),
    ("_attn_proj.", "_attn.proj."),
    (".modulation.linear.", ".modulation.lin."),
    ("_in.mlp.2.", "_in.out_layer."),
    ("_in.mlp.0.", "_in.in_layer."),
    // Some tools put the network below this.
    ("model.model.", "model.diffusion_model."),
];

/// Whether a file has a network in the first release's names.
pub(super) fn is_in_first_names(file: &Weights) -> bool {
    let mark = "double_blocks.0.img_attn_qkv.weight";
    let refined = "txt_in.individual_token_refiner.blocks.0.norm1.weight";
    ["model.diffusion_model", "model.model"]
        .iter()
        .map(|place| file.at(place))
        .chain([file.clone()])
        .any(|w| w.contains(mark) && w.contains(refined))
}

/// The same tensors in Flux's names; `file` is a whole file.
pub(super) fn in_flux_names(file: &Weights) -> Weights {
    let named = |name: &str| {
        let is_other = name.starts_with("vae.") || name.starts_with("text_encoders.");
        let new = |name: &str| RENAMED.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to));
        Some(if is_other { name.to_owned() } else { new(name) })
    };
    file.named(Names::of(&file.names(), named))
}
