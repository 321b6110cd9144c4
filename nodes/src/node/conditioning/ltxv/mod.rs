//! Nodes that prepare prompts and latents for LTX-Video.

mod frame_rate;
mod from_pictures;
mod guides;

use anyhow::{Result, ensure};
use redraft_engine::Outputs;
use tch::{Device, Kind, Tensor};

use crate::models::autoencoder::Autoencoder;
use crate::values::{Conditioning, Latent};

/// Channels of a latent, frames of a latent frame behind the first, and pixels of a point's side.
const CHANNELS: i64 = 128;
const FRAMES: i64 = 8;
const FACTOR: i64 = 32;

/// What most of them give.
#[derive(Outputs)]
struct Prepared {
    #[output(name = "positive")]
    positive: Conditioning,
    #[output(name = "negative")]
    negative: Conditioning,
    #[output(name = "latent")]
    latent: Latent,
}

/// An error unless a VAE has latents of videos as LTX-Video has them.
fn for_videos(vae: &dyn Autoencoder) -> Result<()> {
    ensure!(
        vae.frames() == Some(FRAMES) && vae.latent_channels() == CHANNELS && vae.factor() == FACTOR,
        "the VAE has latents of {} channels, and LTX-Video's have {CHANNELS}: load LTX-Video's VAE",
        vae.latent_channels()
    );
    Ok(())
}

/// The sizes of a video's latent. An error if it is none.
fn size_of(latent: &Tensor) -> Result<[i64; 5]> {
    let size = latent.size();
    <[i64; 5]>::try_from(size.as_slice()).map_err(|_| {
        anyhow::anyhow!(
            "the latent is shaped {size:?}, and a video's is batch x channels x frames x height x width: connect EmptyLTXVLatentVideo"
        )
    })
}

/// Frames of a latent with what they are to be made anew by: B×1×T×1×1, ones.
fn ones(batch: i64, frames: i64) -> Tensor {
    Tensor::ones([batch, 1, frames, 1, 1], (Kind::Float, Device::Cpu))
}

/// Puts `part` in place of the first frames of `whole`, which is nobody else's, and marks them in a new mask.
fn put_in_front(whole: Tensor, part: &Tensor, strength: f64) -> Result<Latent> {
    let [batch, _, frames, height, width] = size_of(&whole)?;
    let size = part.size();
    ensure!(
        size[2] <= frames && size[3..] == [height, width],
        "the picture becomes {} latent frames of {}x{}, and the video has {frames} of {width}x{height}: set a longer length, and sizes \
         that are multiples of {FACTOR}",
        size[2],
        size[4],
        size[3]
    );
    whole.narrow(2, 0, size[2]).copy_(part);
    let mask = ones(batch, frames);
    let _ = mask.narrow(2, 0, size[2]).fill_(1.0 - strength);
    Ok(Latent { noise_mask: Some(mask), ..Latent::new(whole) })
}
