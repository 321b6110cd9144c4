mod batch_latents_node;
mod empty_latent_image;
mod empty_latents;
mod empty_video_latents;
mod latent_arithmetic;
mod latent_batch;
mod latent_batch_seed_behavior;
mod latent_blend;
mod latent_composite;
mod latent_composite_masked;
mod latent_concat;
mod latent_crop;
mod latent_cut;
mod latent_cut_to_batch;
mod latent_flip;
mod latent_from_batch;
mod latent_interpolate;
mod latent_operations;
mod latent_rotate;
mod latent_upscale;
mod latent_upscale_by;
mod rebatch;
mod rebatch_latents;
mod repeat_latent_batch;
mod replace_video_latent_frames;
mod set_latent_noise_mask;
mod trim_video_latent;
mod vae_decode;
mod vae_decode_tiled;
mod vae_encode;
mod vae_encode_for_inpaint;
mod vae_encode_tiled;

use anyhow::{Result, bail};
use tch::Tensor;

use crate::ops::composite::fill_batch;
use crate::ops::resize::{Crop, Method, resize};
use crate::values::Latent;

/// The samples of `other`, resized to the size of `latent`.
fn resized_to(latent: &Latent, other: &Latent) -> Result<Tensor> {
    if latent.samples.size()[1..] == other.samples.size()[1..] {
        return Ok(other.samples.shallow_clone());
    }
    let (height, width) = height_and_width(&latent.samples)?;
    resize(&other.samples, width, height, Method::Bilinear, Crop::Center)
}

/// Height and width of a latent's samples, which are B×C×H×W for pictures and B×C×T×H×W for videos.
fn height_and_width(samples: &Tensor) -> Result<(i64, i64)> {
    match samples.size()[..] {
        [.., height, width] => Ok((height, width)),
        ref size => bail!("a latent is shaped {size:?} and has no two sides; connect another"),
    }
}

/// The third and fourth dimension: height and width of picture latents. In video latents they are time and height;
/// ComfyUI makes no difference here.
fn third_and_fourth(samples: &Tensor) -> Result<(i64, i64)> {
    match samples.size()[..] {
        [_, _, third, fourth, ..] => Ok((third, fourth)),
        ref size => bail!("a latent is shaped {size:?} and has no height and width; connect one of pictures"),
    }
}

/// As [`resized_to`], with the batch size of `latent`.
fn fitted_to(latent: &Latent, other: &Latent) -> Result<Tensor> {
    Ok(fill_batch(&resized_to(latent, other)?, latent.samples.size()[0]))
}

/// The batch indices of a latent. If it has none, they count from 0.
fn places(latent: &Latent) -> impl Iterator<Item = i64> {
    let counted = || (0..latent.samples.size()[0]).collect();
    latent.batch_index.clone().unwrap_or_else(counted).into_iter()
}
