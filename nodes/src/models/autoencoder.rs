//! Autoencoders, between pixels and latents: of pictures, and of videos.

use std::rc::Rc;

use anyhow::Result;
use tch::Tensor;

use super::hunyuan_video_vae::HunyuanVideoVae;
use super::ltxv_vae::LtxvVae;
use super::picture_autoencoder::{PictureAutoencoder, Progress};
use super::pixel_space::PixelSpace;
use super::taesd::Taesd;
use super::vae::Vae;
use super::video_autoencoder::Video;
use super::wan_vae::WanVae;
use crate::files::weights::Weights;
use crate::ops::numerics::Numerics;

/// How something large is cut into parts that overlap. Decoding counts in latent points and latent frames, encoding in pixels and frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles {
    /// Height and width of a tile.
    pub side: i64,
    /// By how much tiles overlap in height and width.
    pub overlap: i64,
    /// Frames of a part. Autoencoders of pictures do not look at it.
    pub frames: i64,
    /// By how many frames parts overlap.
    pub frame_overlap: i64,
}

/// An autoencoder.
///
/// Pixels are B×H×W×C with values in 0…1, float32 on the CPU. A latent is B×C×h×w, that of a video 1×C×T×h×w for all of its frames,
/// unscaled, float32 on the CPU.
pub trait Autoencoder {
    /// Channels of a latent.
    fn latent_channels(&self) -> i64;

    /// Pixels per latent point along a side.
    fn factor(&self) -> i64;

    /// How many frames a latent frame behind the first stands for; nothing for an autoencoder of pictures.
    fn frames(&self) -> Option<i64>;

    /// Encodes pictures, or the frames of a video, to latents: the mean of the posterior. Sides that are no multiples of
    /// [`factor`](Self::factor) are cropped about the middle. A video's frames behind the last full group are left out.
    fn encode(&self, pixels: &Tensor) -> Result<Tensor>;

    /// The same in parts, which takes less memory.
    fn encode_tiled(&self, pixels: &Tensor, tiles: Tiles, progress: Progress) -> Result<Tensor>;

    /// Decodes latents to pictures, with values in 0…1. The frames of several videos follow each other in the batch.
    fn decode(&self, latent: &Tensor) -> Result<Tensor>;

    /// The same in parts, which takes less memory.
    fn decode_tiled(&self, latent: &Tensor, tiles: Tiles, progress: Progress) -> Result<Tensor>;
}

/// Builds the autoencoder from the tensors below `weights`, which tell its kind.
pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Rc<dyn Autoencoder>> {
    if WanVae::is_in(weights) {
        return Ok(Rc::new(WanVae::load(weights, numerics)?));
    }
    if LtxvVae::is_in(weights) {
        return Ok(Rc::new(Video(LtxvVae::load(weights, numerics)?)));
    }
    if HunyuanVideoVae::is_in(weights) {
        return Ok(Rc::new(Video(HunyuanVideoVae::load(weights, numerics)?)));
    }
    if Taesd::is_in(weights) {
        return Ok(Rc::new(Taesd::load(weights, numerics)?));
    }
    if PixelSpace::is_in(weights) {
        return Ok(Rc::new(PixelSpace));
    }
    Ok(Rc::new(Vae::load(weights, numerics)?))
}

impl<T: PictureAutoencoder> Autoencoder for T {
    fn latent_channels(&self) -> i64 {
        PictureAutoencoder::latent_channels(self)
    }

    fn factor(&self) -> i64 {
        PictureAutoencoder::factor(self)
    }

    fn frames(&self) -> Option<i64> {
        None
    }

    fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        PictureAutoencoder::encode(self, pixels)
    }

    fn encode_tiled(&self, pixels: &Tensor, tiles: Tiles, progress: Progress) -> Result<Tensor> {
        PictureAutoencoder::encode_tiled(self, pixels, tiles.side, tiles.overlap, progress)
    }

    /// Of a video's latent, the first frame.
    fn decode(&self, latent: &Tensor) -> Result<Tensor> {
        match latent.size()[..] {
            [_, _, frames, _, _] if frames > 0 => PictureAutoencoder::decode(self, &latent.select(2, 0)),
            _ => PictureAutoencoder::decode(self, latent),
        }
    }

    fn decode_tiled(&self, latent: &Tensor, tiles: Tiles, progress: Progress) -> Result<Tensor> {
        PictureAutoencoder::decode_tiled(self, latent, tiles.side, tiles.overlap, progress)
    }
}
