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

/// An error unless a latent has the channels of LTX-Video's.
fn ensure_channels(channels: i64) -> Result<()> {
    ensure!(
        channels == CHANNELS,
        "the latent has {channels} channels, and LTX-Video's have {CHANNELS}: connect EmptyLTXVLatentVideo"
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
    let [batch, channels, frames, height, width] = size_of(&whole)?;
    ensure_channels(channels)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pictures_are_put_into_latents_of_their_family_alone() {
        let latent =
            |channels: i64, frames: i64| Tensor::zeros([1, channels, frames, 1, 2], (Kind::Float, Device::Cpu));
        let put = put_in_front(latent(128, 3), &(latent(128, 1) + 1.0), 0.75).unwrap();
        assert_eq!(put.samples.sum(Kind::Float).double_value(&[]), 256.0);
        assert_eq!(Vec::<f32>::try_from(put.noise_mask.unwrap().flatten(0, -1)).unwrap(), [0.25, 1.0, 1.0]);
        for (whole, part, why) in [(16, 1, "has 16 channels"), (128, 4, "4 latent frames")] {
            let message = put_in_front(latent(whole, 3), &latent(128, part), 1.0).err().unwrap().to_string();
            assert!(message.contains(why), "{message}");
        }
    }
}
