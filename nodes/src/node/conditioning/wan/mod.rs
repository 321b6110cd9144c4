//! Nodes that prepare prompts and latents for Wan.

mod control_frames;
mod first_and_last;
mod from_pictures;
mod fun_control;
mod subjects;

use anyhow::{Result, ensure};
use redraft_engine::Outputs;
use tch::Tensor;

use crate::models::autoencoder::Autoencoder;
use crate::ops::memory::filled;
use crate::ops::resize::{Crop, Method, resize_pictures};
use crate::values::extras::{CLIP_VISION_OUTPUT, Property};
use crate::values::{ClipVisionOutput, Conditioning, Image, Latent};

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

/// Both prompts, to which properties are given.
struct Prompts {
    positive: Conditioning,
    negative: Conditioning,
}

impl Prompts {
    fn with(self, property: Property<Tensor>, value: &Tensor) -> Self {
        let set = |prompt: Conditioning| prompt.map(|entry| entry.extras.set(property, value.shallow_clone()));
        Self { positive: set(self.positive), negative: set(self.negative) }
    }

    /// One more at the end of what they have under this name.
    fn with_further<T>(self, property: Property<Vec<T>>, value: impl Fn() -> T) -> Self
    where
        Vec<T>: crate::values::extras::ExtraType,
    {
        let add = |prompt: Conditioning| {
            prompt.map(|entry| {
                let mut all = entry.extras.get(property).unwrap_or_default();
                all.push(value());
                entry.extras.set(property, all);
            })
        };
        Self { positive: add(self.positive), negative: add(self.negative) }
    }

    fn with_seen(self, seen: Option<&ClipVisionOutput>) -> Self {
        match seen {
            Some(seen) => self.with(CLIP_VISION_OUTPUT, &seen.penultimate),
            None => self,
        }
    }

    fn prepared(self, latent: Tensor) -> Prepared {
        Prepared { positive: self.positive, negative: self.negative, latent: Latent::new(latent) }
    }
}

/// The sizes of a video in pixels and frames.
#[derive(Clone, Copy)]
struct Video {
    width: i64,
    height: i64,
    length: i64,
}

impl Video {
    /// Frames of its latent.
    fn latent_frames(self) -> i64 {
        (self.length - 1) / 4 + 1
    }

    /// Zeros for its latent, whose points are `factor` pixels wide.
    fn latent(self, batch: i64, channels: i64, factor: i64) -> Result<Tensor> {
        let size = [batch, channels, self.latent_frames(), self.height / factor, self.width / factor];
        Ok(filled(&size, 0.0, "the latent")?)
    }

    /// The first of some pictures as its frames, B×H×W×3.
    fn frames(self, images: &Image) -> Result<Tensor> {
        self.sized(&images.0.slice(0, 0, self.length, 1))
    }

    /// Pictures in its size, cropped about the centre: B×H×W×3.
    fn sized(self, images: &Tensor) -> Result<Tensor> {
        let size = images.size();
        ensure!(
            size.len() == 4 && size[0] > 0 && size[3] >= 3,
            "pictures are shaped {size:?}; at least one with three channels is needed"
        );
        let sized = resize_pictures(images, self.width, self.height, Method::Bilinear, Crop::Center)?;
        Ok(sized.slice(3, 0, 3, 1))
    }

    /// As many grey frames: B×H×W×3.
    fn grey(self) -> Result<Tensor> {
        Ok(filled(&[self.length, self.height, self.width, 3], 0.5, "the frames")?)
    }

    /// Ones for four frames of each latent frame, 1×1×(4·T)×h×w.
    fn mask(self, factor: i64) -> Result<Tensor> {
        let size = [1, 1, self.latent_frames() * 4, self.height / factor, self.width / factor];
        Ok(filled(&size, 1.0, "the mask")?)
    }
}

/// Such a mask with the four frames as channels: 1×4×T×h×w.
fn by_latent_frame(mask: &Tensor) -> Tensor {
    let size = mask.size();
    mask.view([1, size[2] / 4, 4, size[3], size[4]]).transpose(1, 2)
}

/// Puts `part` in place of the first frames of `whole`, as many as there are room for. `whole` is nobody else's.
fn put_in_front(whole: &Tensor, part: &Tensor) {
    let frames = whole.size()[2].min(part.size()[2]);
    whole.narrow(2, 0, frames).copy_(&part.narrow(2, 0, frames));
}

/// An error unless a VAE has latents of videos with so many channels.
fn for_videos(vae: &dyn Autoencoder, channels: i64) -> Result<()> {
    ensure!(
        vae.frames().is_some() && vae.latent_channels() == channels,
        "the VAE has latents of {} channels{}, and a VAE for videos with {channels} is needed: load Wan's",
        vae.latent_channels(),
        if vae.frames().is_some() { "" } else { " for pictures" }
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn frames_fill_the_size_and_masks_stand_for_four_of_them() {
        let video = Video { width: 32, height: 16, length: 6 };
        assert_eq!(video.latent(2, 16, 8).unwrap().size(), [2, 16, 2, 2, 4]);
        let pictures = Image(Tensor::rand([9, 10, 40, 4], (Kind::Float, Device::Cpu)));
        assert_eq!(video.frames(&pictures).unwrap().size(), [6, 16, 32, 3]);
        assert!(video.sized(&pictures.0.slice(3, 0, 1, 1)).unwrap_err().to_string().contains("three channels"));
        let mask = video.mask(8).unwrap();
        let _ = mask.slice(2, 0, 5, 1).zero_();
        let mask = by_latent_frame(&mask);
        assert_eq!(mask.size(), [1, 4, 2, 2, 4]);
        let kept = |channel: i64, frame: i64| mask.double_value(&[0, channel, frame, 1, 1]);
        assert_eq!([kept(3, 0), kept(0, 1), kept(1, 1)], [0.0, 0.0, 1.0]);
    }

    #[test]
    fn only_as_many_frames_as_there_is_room_for_are_put_in_front() {
        let zeros = |frames: i64| Tensor::zeros([1, 2, frames, 1, 1], (Kind::Float, Device::Cpu));
        for (whole, part, sum) in [(zeros(3), zeros(2) + 1.0, 4.0), (zeros(1), zeros(2) + 1.0, 2.0)] {
            put_in_front(&whole, &part);
            assert_eq!(whole.sum(Kind::Float).double_value(&[]), sum);
        }
    }
}
