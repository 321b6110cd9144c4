//! Stable Diffusion 1.x, 2.x and SDXL (Podell et al. 2023, arXiv:2307.01952): one UNet in several sizes.

use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use super::{Family, ModelPart, NetworkInFile};
use crate::diffusion::clock::Clock;
use crate::diffusion::extra_conds::{CHANNELS, ExtraCond, ExtraConds, VECTOR};
use crate::diffusion::latent_format::{self, LatentFormat};
use crate::diffusion::network::Network;
use crate::diffusion::parameterisation::{Parameterisation, Prediction};
use crate::diffusion::run_entry::{RunEntry, Shown};
use crate::files::weights::Weights;
use crate::models::text_recipes;
use crate::models::unclip;
use crate::models::unet::{Heads, UNet, sinusoids};
use crate::ops::numerics::Numerics;
use crate::values::extras::{
    AESTHETIC_SCORE, CROP_H, CROP_W, HEIGHT, POOLED, Property, TARGET_HEIGHT, TARGET_WIDTH, WIDTH,
};

/// Stable Diffusion 1.x.
pub(super) const SD1: Family = Family {
    name: "Stable Diffusion 1.x",
    recognise: |w| is_unet(w) && !is_class_conditional(w) && !has_linear_projections(w),
    sampled: |found| {
        input_channels(found.network)?;
        Ok((&latent_format::SD15, Parameterisation::sd15()))
    },
    text: &text_recipes::SD1,
    text_places: &[&["cond_stage_model.transformer"]],
    load,
    extra_conds: shown,
};

/// Stable Diffusion 2.x.
pub(super) const SD2: Family = Family {
    name: "Stable Diffusion 2.x",
    recognise: |w| is_unet(w) && !is_class_conditional(w) && has_linear_projections(w),
    sampled: |found| {
        let prediction = if sd2_predicts_velocity(found.network)? { Prediction::Velocity } else { Prediction::Epsilon };
        Ok((&latent_format::SD15, Parameterisation::discrete(prediction, false)))
    },
    text: &text_recipes::SD2,
    text_places: &[&["cond_stage_model.model", "conditioner.embedders.0.model"]],
    load,
    extra_conds: shown,
};

/// Stable Diffusion 2.1 unCLIP, which goes by what CLIP sees in pictures.
pub(super) const SD2_UNCLIP: Family = Family {
    name: "Stable Diffusion 2.x unCLIP",
    recognise: |w| {
        is_unet(w) && levels(w) == 4 && has_linear_projections(w) && !is_video(w) && picture_width(w).is_some()
    },
    extra_conds: |part, prompt| {
        let width = picture_width(&part.weights).context("the model takes no pictures")?;
        let vector = unclip::pictures(prompt, width)?;
        let vector = vector.unwrap_or_else(|| Tensor::zeros([1, 2 * width], (Kind::Float, Device::Cpu)));
        Ok(shown(part, prompt)?.with(VECTOR, ExtraCond::Rows(vector.to_device(prompt.latent.device()))))
    },
    ..SD2
};

/// SDXL's base model, and those of its layout (SSD-1B, Segmind Vega, KOALA, Playground v2.5).
pub(super) const SDXL: Family = Family {
    name: "SDXL",
    recognise: is_sdxl,
    sampled: sdxl_sampled,
    text: &text_recipes::SDXL,
    text_places: &[&["conditioner.embedders.0.transformer"], &["conditioner.embedders.1.model"]],
    load,
    extra_conds: |part, prompt| {
        let sizes = |wanted: [Property<i64>; 2], or: [i64; 2]| {
            [0, 1].map(|i| prompt.entry.extras.get(wanted[i]).unwrap_or(or[i]) as f64)
        };
        // Height comes before width.
        let [height, width] = sizes([HEIGHT, WIDTH], prompt.picture_size());
        let [top, left] = sizes([CROP_H, CROP_W], [0, 0]);
        let [target_height, target_width] = sizes([TARGET_HEIGHT, TARGET_WIDTH], [height as i64, width as i64]);
        let vector = vector(part, prompt, &[height, width, top, left, target_height, target_width])?;
        Ok(shown(part, prompt)?.with(VECTOR, vector))
    },
};

/// SDXL's refiner.
pub(super) const SDXL_REFINER: Family = Family {
    name: "SDXL refiner",
    recognise: |w| is_unet(w) && is_class_conditional(w) && levels(w) == 4 && takes_an_aesthetic_score(w),
    sampled: |found| {
        input_channels(found.network)?;
        Ok((&latent_format::SDXL, Parameterisation::sd15()))
    },
    text: &text_recipes::SDXL_REFINER,
    text_places: &[&["conditioner.embedders.0.model"]],
    load,
    extra_conds: |part, prompt| {
        let extras = &prompt.entry.extras;
        let [picture_height, picture_width] = prompt.picture_size();
        let number = |property, or: i64| extras.get(property).unwrap_or(or) as f64;
        let beauty = extras.get(AESTHETIC_SCORE).unwrap_or(if prompt.list == "negative" { 2.5 } else { 6.0 });
        let size = [number(HEIGHT, picture_height), number(WIDTH, picture_width)];
        let vector = vector(part, prompt, &[size[0], size[1], number(CROP_H, 0), number(CROP_W, 0), beauty])?;
        Ok(shown(part, prompt)?.with(VECTOR, vector))
    },
};

/// How wide each number of the vector is spread.
const SPREAD: i64 = 256;

pub(super) fn load(weights: &Weights, numerics: &Numerics) -> Result<Rc<dyn Network>> {
    Ok(Rc::new(UNet::load(weights, numerics, heads(weights)?)?))
}

/// How a UNet's attentions are split: in 1.x into 8, in others into heads of one width: 64, or 16 in networks narrower than that.
pub(crate) fn heads(unet: &Weights) -> Result<Heads> {
    if !is_class_conditional(unet) && !has_linear_projections(unet) {
        return Ok(Heads::Count(8));
    }
    Ok(Heads::Width(if unet.dim("input_blocks.0.0.weight", 0)? < 64 { 16 } else { 64 }))
}

/// Whether a UNet is of SDXL or its layout.
pub(crate) fn is_sdxl(unet: &Weights) -> bool {
    is_unet(unet) && is_class_conditional(unet) && levels(unet) == 3
}

/// Whether the tensors are those of a UNet in the original's layout.
pub(crate) fn is_unet(w: &Weights) -> bool {
    w.contains("input_blocks.0.0.weight") && w.contains("time_embed.0.weight")
}

/// The first matrix over the vector that is taken besides the text.
pub(super) const VECTOR_WEIGHT: &str = "label_emb.0.0.weight";

/// Whether it takes a vector besides the text.
fn is_class_conditional(unet: &Weights) -> bool {
    unet.contains(VECTOR_WEIGHT)
}

/// Whether it has layers over time.
pub(super) fn is_video(unet: &Weights) -> bool {
    unet.contains("input_blocks.1.0.time_stack.in_layers.0.weight")
}

/// How wide the embeddings of pictures are that an unCLIP model takes: half of its vector. None of Lotus, whose vector is a choice of
/// tasks, and of SDXL's refiner, whose vector has room for one embedding of a text and five numbers.
fn picture_width(unet: &Weights) -> Option<i64> {
    let columns = unet.dim(VECTOR_WEIGHT, 1).ok()?;
    (columns % 2 == 0 && columns >= LEAST_PICTURE && !takes_an_aesthetic_score(unet)).then_some(columns / 2)
}

/// The fewest columns of a vector that holds pictures.
const LEAST_PICTURE: i64 = 16;

/// Whether the projections around its transformers are matrices, not convolutions.
fn has_linear_projections(unet: &Weights) -> bool {
    let blocks = unet.at("input_blocks");
    (0..blocks.children()).any(|i| blocks.at(i).shape("1.proj_in.weight").is_ok_and(|shape| shape.len() == 2))
}

/// How many sizes of the picture it works on.
fn levels(unet: &Weights) -> usize {
    let blocks = unet.at("input_blocks");
    1 + (0..blocks.children()).filter(|&i| blocks.at(i).contains("0.op.weight")).count()
}

/// Whether the vector is the pooled text and five numbers; unCLIP's have the same levels.
fn takes_an_aesthetic_score(unet: &Weights) -> bool {
    let columns = unet.dim(VECTOR_WEIGHT, 1).unwrap_or(0);
    UNet::context_width_of(unet).is_ok_and(|width| columns == width + 5 * SPREAD)
}

/// 2.x predicts velocity where the biases of one normalisation vary that much; inpainting models never do.
fn sd2_predicts_velocity(unet: &Weights) -> Result<bool> {
    const BIAS: &str = "output_blocks.11.1.transformer_blocks.0.norm1.bias";
    if input_channels(unet)? != 4 || !unet.contains(BIAS) {
        return Ok(false);
    }
    let bias = unet.tensor(BIAS, &unet.shape(BIAS)?)?;
    Ok(bias.std(false).double_value(&[]) > 0.09)
}

/// Files of SDXL's layout say by a tensor's name what they predict.
fn sdxl_sampled(found: &NetworkInFile) -> Result<(&'static LatentFormat, Parameterisation)> {
    input_channels(found.network)?;
    let file = found.file;
    let number = |name: &str| Ok::<_, anyhow::Error>(file.tensor(name, &file.shape(name)?)?.double_value(&[]));
    if file.contains("edm_mean") && file.contains("edm_std") {
        let sampling = Parameterisation::continuous(Prediction::Edm, Clock::QuarterLog, (0.002, 80.0), 0.5);
        return Ok((&latent_format::PLAYGROUND, sampling));
    }
    if file.contains("edm_vpred.sigma_max") {
        let low = if file.contains("edm_vpred.sigma_min") { number("edm_vpred.sigma_min")? } else { 0.002 };
        let high = number("edm_vpred.sigma_max")?;
        if !(low > 0.0 && high > low && high.is_finite()) {
            bail!("{} says that it was trained on sigmas from {low} to {high}; it is damaged", file.path().display());
        }
        let sampling = Parameterisation::continuous(Prediction::Velocity, Clock::QuarterLog, (low, high), 1.0);
        return Ok((&latent_format::SDXL, sampling));
    }
    let prediction = if file.contains("v_pred") { Prediction::Velocity } else { Prediction::Epsilon };
    let zero_terminal_snr = file.contains("v_pred") && file.contains("ztsnr");
    Ok((&latent_format::SDXL, Parameterisation::discrete(prediction, zero_terminal_snr)))
}

/// How many channels a UNet takes: 4 for a latent alone, 8 for InstructPix2Pix, 9 for inpainting. Any other number is an error.
fn input_channels(unet: &Weights) -> Result<i64> {
    let channels = unet.dim("input_blocks.0.0.weight", 1)?;
    ensure!(
        [4, 8, 9].contains(&channels),
        "{} has a UNet with {channels} input channels; 4 are a plain model, 8 InstructPix2Pix and 9 inpainting",
        unet.path().display()
    );
    Ok(channels)
}

/// Velocity on continuous noise levels.
fn is_cosxl(part: &ModelPart) -> bool {
    part.family == &SDXL && part.parameterisation.is_continuous_velocity()
}

/// What the UNet is shown beside the latent, told by how many channels it takes.
pub(super) fn shown(part: &ModelPart, prompt: &RunEntry) -> Result<ExtraConds> {
    let conds = ExtraConds::default();
    let channels = match input_channels(&part.weights)? {
        // CosXL's is shown latents in its own scale, all others' in the VAE's.
        8 if is_cosxl(part) => prompt.shown_latent(Shown::InNetworkScale)?,
        8 => prompt.shown_latent(Shown::InVaeUnits)?,
        9 => prompt.masked_latent(&GREY)?,
        _ => return Ok(conds),
    };
    Ok(conds.with(CHANNELS, ExtraCond::Planes(channels)))
}

/// A grey picture's latent in the network's scale.
const GREY: [f32; 4] = [0.8223, -0.6876, 0.6364, 0.1380];

/// The pooled text, or what CLIP saw in pictures, and some numbers, each spread over sinusoids: 1×V.
fn vector(part: &ModelPart, prompt: &RunEntry, numbers: &[f64]) -> Result<ExtraCond> {
    let wide = part.weights.dim(VECTOR_WEIGHT, 1)?.saturating_sub(SPREAD * numbers.len() as i64);
    let pooled = match unclip::pictures(prompt, wide)? {
        Some(seen) => seen.narrow(1, 0, wide),
        None => prompt.entry.extras.get(POOLED).context(
            "the conditioning has no pooled output, which this model needs: encode the prompt with a text encoder of the \
             model's family",
        )?,
    };
    let numbers: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
    let spread = sinusoids(&Tensor::from_slice(&numbers), SPREAD, Device::Cpu).view([1, -1]);
    let spread = spread.repeat([pooled.size()[0], 1]);
    let vector = Tensor::cat(&[pooled.to_device(Device::Cpu).to_kind(Kind::Float), spread], 1);
    Ok(ExtraCond::Rows(vector.to_device(prompt.latent.device())))
}
