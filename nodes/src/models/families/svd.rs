//! Stable Video Diffusion (Blattmann et al. 2023, arXiv:2311.15127), and SV3D, which shows a thing from all sides (Voleti et al. 2024,
//! arXiv:2403.12008).

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::stable_diffusion::{self, VECTOR_WEIGHT, is_unet, is_video};
use super::{Family, ModelPart};
use crate::diffusion::clock::Clock;
use crate::diffusion::extra_conds::{CHANNELS, ExtraCond, ExtraConds, FRAMES, VECTOR};
use crate::diffusion::latent_format;
use crate::diffusion::parameterisation::{Parameterisation, Prediction};
use crate::diffusion::run_entry::{RunEntry, Shown, spread_over_batch};
use crate::files::weights::Weights;
use crate::models::text_recipes;
use crate::models::unet::sinusoids;
use crate::values::extras::{AUGMENTATION, AZIMUTH, ELEVATION, FPS, MOTION_BUCKET};

/// How wide a number of the vector is spread, and an angle.
const SPREAD: i64 = 256;
const SPREAD_OF_ANGLES: i64 = 512;

/// Stable Video Diffusion, which is told the rate of frames, how much moves, and how noisy the picture is.
pub(super) const SVD: Family = Family {
    name: "Stable Video Diffusion",
    recognise: |w| has_vector(w, 3 * SPREAD),
    sampled: |_| {
        let sampling = Parameterisation::continuous(Prediction::Velocity, Clock::QuarterLog, (0.002, 700.0), 1.0);
        Ok((&latent_format::SD15, sampling))
    },
    text: &text_recipes::SD1,
    text_places: &[],
    load: stable_diffusion::load,
    extra_conds: |_, prompt| {
        let extras = &prompt.entry.extras;
        let (rate, motion) = (extras.get(FPS).unwrap_or(6), extras.get(MOTION_BUCKET).unwrap_or(127));
        let numbers = [rate.saturating_sub(1) as f64, motion as f64, augmentation(prompt)];
        shown(prompt, waves(&numbers, SPREAD).view([1, -1]))
    },
};

/// SV3D that chooses its way around a thing itself.
pub(super) const SV3D_U: Family = Family {
    name: "SV3D",
    recognise: |w| has_vector(w, SPREAD),
    extra_conds: |_, prompt| shown(prompt, waves(&[augmentation(prompt)], SPREAD)),
    ..SVD
};

/// SV3D that is told from where it looks in each frame.
pub(super) const SV3D_P: Family = Family {
    name: "SV3D with a path",
    recognise: |w| has_vector(w, SPREAD + 2 * SPREAD_OF_ANGLES),
    extra_conds: seen_from,
    ..SVD
};

fn has_vector(unet: &Weights, width: i64) -> bool {
    is_unet(unet) && is_video(unet) && unet.dim(VECTOR_WEIGHT, 1).is_ok_and(|columns| columns == width)
}

fn augmentation(prompt: &RunEntry) -> f64 {
    prompt.entry.extras.get(AUGMENTATION).unwrap_or(0.0)
}

/// Numbers as sinusoids, a row for each.
fn waves(numbers: &[f64], width: i64) -> Tensor {
    let numbers: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
    sinusoids(&Tensor::from_slice(&numbers), width, Device::Cpu)
}

/// The vector, the picture's latent, and how many frames there are: as many as latents.
fn shown(prompt: &RunEntry, vector: Tensor) -> Result<ExtraConds> {
    Ok(ExtraConds::default()
        .with(VECTOR, ExtraCond::Rows(vector.to_device(prompt.latent.device())))
        .with(CHANNELS, ExtraCond::Planes(prompt.shown_latent(Shown::InVaeUnits)?))
        .with(FRAMES, ExtraCond::Constant(prompt.latent.size()[0].to_string())))
}

fn seen_from(_: &ModelPart, prompt: &RunEntry) -> Result<ExtraConds> {
    let extras = &prompt.entry.extras;
    let degrees = |angles: Option<Vec<f64>>| {
        let angles: Vec<f32> =
            angles.filter(|all| !all.is_empty()).unwrap_or(vec![0.0]).iter().map(|&a| a as f32).collect();
        Tensor::from_slice(&angles)
    };
    let told = |angles: Tensor| sinusoids(&angles.fmod(360.0).deg2rad(), SPREAD_OF_ANGLES, Device::Cpu);
    let parts = [
        waves(&[augmentation(prompt)], SPREAD),
        told((90f64 - degrees(extras.get(ELEVATION))).to_kind(Kind::Float)),
        told(degrees(extras.get(AZIMUTH))),
    ];
    let frames = prompt.latent.size()[0];
    shown(prompt, Tensor::cat(&parts.map(|part| spread_over_batch(&part, frames)), 1))
}
