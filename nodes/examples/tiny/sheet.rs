//! Sheets of pictures to look at: what the autoencoder makes of drawings, and what the model draws for captions.

use std::path::Path;

use anyhow::{Context, Result};
use image::RgbImage;
use redraft_nodes::diffusion::latent_format::SD15;
use redraft_nodes::diffusion::parameterisation::Parameterisation;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::picture_autoencoder::PictureAutoencoder;
use redraft_nodes::models::vae::Vae;
use redraft_nodes::ops::noise::randn;
use redraft_nodes::ops::numerics::Numerics;
use redraft_nodes::sampling::schedules::Schedule;
use tch::{Device, Kind, Tensor};

use crate::data::{Sample, pictures, sample, token_rows};
use crate::denoiser::{self, Networks};
use crate::drawing::Split;
use crate::log::say;

const COLUMNS: usize = 8;
const RECONSTRUCTIONS: u64 = 16;
const SAMPLES: u64 = 64;
/// Seed of the scenes that sheets show; none that is trained with.
const SEED: u64 = 0x5ee7;

/// Writes `reconstructions.png` (rows of drawings, each above what comes back) and `samples.png` with `samples.txt` (64 held-out
/// captions, read row by row) for a checkpoint.
pub(crate) fn sheets(checkpoint: &Path, numerics: &Numerics, size: u32, guidance: f64, directory: &Path) -> Result<()> {
    let _guard = tch::no_grad_guard();
    let (weights, device) = (Weights::open(checkpoint)?, numerics.device);
    let vae = Vae::load(&weights.at("first_stage_model"), numerics)?;
    let scenes =
        |count: u64| -> Vec<Sample> { (0..count).map(|index| sample(SEED, index, size, Split::HeldOut)).collect() };
    let drawn = pictures(&scenes(RECONSTRUCTIONS), size, device);
    let [latents, _] = vae.moments(&drawn);
    let back = vae.decode_latent(&latents);
    let difference = (&back - &drawn).abs().mean(Kind::Float).double_value(&[]) * 127.5;
    say(&format!("reconstructions: {difference:.2} of 255 away on average"))?;
    let rows: Vec<Tensor> = (0..RECONSTRUCTIONS as i64 / COLUMNS as i64)
        .flat_map(|row| [&drawn, &back].map(|of| of.narrow(0, row * COLUMNS as i64, COLUMNS as i64)))
        .collect();
    save(&Tensor::cat(&rows, 0), &directory.join("reconstructions.png"))?;

    let networks = Networks::load(&weights, numerics)?;
    let scenes = scenes(SAMPLES);
    let tokens = token_rows(scenes.iter().map(|scene| scene.tokens.as_slice()), device);
    let side = i64::from(size) / vae.factor();
    let noise = randn(SEED, &[SAMPLES as i64, vae.latent_channels(), side, side]).to_device(device);
    let levels = Schedule::named("normal")?.for_ksampler(&Parameterisation::sd15(), 20, 1.0, false)?.0;
    // Pictures are decoded in the groups of the reconstructions.
    let latents = denoiser::sample(&networks, &tokens, &noise, &levels, guidance)? / SD15.scale;
    let decoded: Vec<Tensor> =
        latents.split(RECONSTRUCTIONS as i64, 0).iter().map(|group| vae.decode_latent(group)).collect();
    save(&Tensor::cat(&decoded, 0), &directory.join("samples.png"))?;
    let captions: Vec<String> = scenes
        .iter()
        .enumerate()
        .map(|(i, scene)| format!("{}.{}  {}\n", i / COLUMNS + 1, i % COLUMNS + 1, scene.caption))
        .collect();
    say(&captions.concat())?;
    Ok(fs_err::write(directory.join("samples.txt"), captions.concat())?)
}

/// B×3×H×W in -1…1 as one picture, eight in a row.
fn save(pictures: &Tensor, path: &Path) -> Result<()> {
    let size = pictures.size();
    let (count, height, width) = (size[0], size[2], size[3]);
    let columns = COLUMNS as i64;
    let rows = count.div_euclid(columns);
    let sheet = pictures.to_device(Device::Cpu).view([rows, columns, 3, height, width]).permute([0, 3, 1, 4, 2]);
    let bytes = ((sheet + 1.0) * 127.5).round().clamp(0.0, 255.0).to_kind(Kind::Uint8).contiguous().view(-1);
    let (width, height) = (u32::try_from(columns * width)?, u32::try_from(rows * height)?);
    let picture =
        RgbImage::from_raw(width, height, Vec::<u8>::try_from(bytes)?).context("the sheet has another size")?;
    Ok(picture.save(path)?)
}
