//! Pictures that stand anywhere in a video.

use anyhow::{Result, ensure};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Device, Kind, Tensor};

use super::{FACTOR, FRAMES, Prepared, ensure_channels, for_videos, ones, size_of};
use crate::networks::Networks;
use crate::ops::resize::{Crop, Method, resize_pictures};
use crate::recipes::VaeRecipe;
use crate::values::extras::KEYFRAMES;
use crate::values::{Conditioning, Image, Latent};

/// Puts pictures behind a latent of LTX-Video, and tells the prompts where in the video they stand.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct LTXVAddGuide {
    positive: Conditioning,
    negative: Conditioning,
    vae: VaeRecipe,
    latent: Latent,
    /// A picture, or 9, 17, … frames; those behind are left out.
    image: Image,
    /// Where it stands. Below 0 it counts from the end. Of several frames the first stands at a multiple of 8, and 1 more.
    #[input(default = 0, min = -9999, max = 9999)]
    frame_idx: i64,
    /// How much of it is kept.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01)]
    strength: f64,
}

impl Run for LTXVAddGuide {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> Result<Prepared> {
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        for_videos(&*vae)?;
        let [batch, channels, frames, height, width] = size_of(&self.latent.samples)?;
        ensure_channels(channels)?;
        let given = self.image.0.size()[0];
        ensure!(given > 0, "there are no pictures to go by: connect at least one");
        let count = (given - 1) / FRAMES * FRAMES + 1;
        let pictures = self.image.0.narrow(0, 0, count);
        let pictures = resize_pictures(&pictures, width * FACTOR, height * FACTOR, Method::Bilinear, Crop::Disabled)?;
        let guide = vae.encode(&pictures.slice(3, 0, 3, 1))?;
        let length = guide.size()[2];
        let at = place(self.frame_idx, count, frames - guides_in(&self.positive));
        let first = (at + FRAMES - 1).div_euclid(FRAMES);
        ensure!(
            first + length <= frames,
            "a guide of {count} frames at frame {at} goes beyond the video, which has {frames} latent frames: set a smaller frame_idx"
        );
        ensure!(
            guide.size()[0] == batch,
            "the latent is a batch of {batch}, and guides can be added to one video alone: set batch_size to 1"
        );
        let mask = self.latent.noise_mask.unwrap_or_else(|| ones(batch, frames));
        let of_mask = mask.size();
        ensure!(
            of_mask.len() == 5 && of_mask[2] == frames,
            "the latent's mask is shaped {of_mask:?}, and a mask for each of its {frames} frames is needed: leave SetLatentNoiseMask out"
        );
        let size = [of_mask[0], 1, length, of_mask[3], of_mask[4]];
        let kept = Tensor::full(size, 1.0 - self.strength, (mask.kind(), Device::Cpu));
        let places = places(&guide, at);
        let told = |prompt: Conditioning| {
            let before = known(&prompt);
            let all = before.map_or_else(|| places.shallow_clone(), |before| Tensor::cat(&[&before, &places], 2));
            prompt.map(|entry| entry.extras.set(KEYFRAMES, all.shallow_clone()))
        };
        let latent = Latent {
            noise_mask: Some(Tensor::cat(&[&mask, &kept], 2)),
            ..Latent::new(Tensor::cat(&[&self.latent.samples, &guide], 2))
        };
        Ok(Prepared { positive: told(self.positive), negative: told(self.negative), latent })
    }
}

/// Takes the pictures off again that LTXVAddGuide put behind a latent.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct LTXVCropGuides {
    positive: Conditioning,
    negative: Conditioning,
    latent: Latent,
}

impl Run for LTXVCropGuides {
    type Out = Prepared;

    fn run(self, _: &mut Cx) -> Result<Prepared> {
        let [batch, _, frames, ..] = size_of(&self.latent.samples)?;
        let guides = guides_in(&self.positive);
        ensure!(
            guides < frames,
            "the prompts tell of {guides} latent frames that are guides, and the latent has {frames}: connect the latent that was sampled \
             with them"
        );
        let mask = self.latent.noise_mask.unwrap_or_else(|| ones(batch, frames));
        ensure!(
            mask.dim() == 5 && mask.size()[2] >= guides,
            "the latent's mask is shaped {:?}, and a mask for each of its {frames} frames is needed: leave SetLatentNoiseMask out",
            mask.size()
        );
        let without = |x: &Tensor| x.narrow(2, 0, x.size()[2] - guides);
        let latent = Latent { noise_mask: Some(without(&mask)), ..Latent::new(without(&self.latent.samples)) };
        let told = |prompt: Conditioning| match guides {
            0 => prompt,
            _ => prompt.map(|entry| entry.extras.set_null(KEYFRAMES)),
        };
        Ok(Prepared { positive: told(self.positive), negative: told(self.negative), latent })
    }
}

/// Where the guides of a prompt stand: of the first entry that says anything of it.
fn known(prompt: &Conditioning) -> Option<Tensor> {
    let says = |entry: &&crate::values::Entry| entry.extras.is_null(KEYFRAMES) || entry.extras.get(KEYFRAMES).is_some();
    prompt.0.iter().find(says).and_then(|entry| entry.extras.get(KEYFRAMES))
}

/// How many latent frames of a prompt's latent are guides: those that begin at different frames.
fn guides_in(prompt: &Conditioning) -> i64 {
    let Some(places) = known(prompt).filter(|places| places.dim() == 4) else { return 0 };
    let (begins, _, _) = places.select(3, 0).select(1, 0).flatten(0, -1).unique_dim(0, true, false, false);
    begins.size()[0]
}

/// The frame at which a guide of so many frames stands, in a video of so many latent frames.
fn place(index: i64, guide: i64, frames: i64) -> i64 {
    let index = if index >= 0 { index } else { ((frames - 1) * FRAMES + 1 + index).max(0) };
    if guide > 1 && index != 0 { (index - 1).div_euclid(FRAMES) * FRAMES + 1 } else { index }
}

/// The first and last pixels of a guide's points in the video, 1×3×N×2 of frame, row and column, int64.
fn places(guide: &Tensor, at: i64) -> Tensor {
    let size = guide.size();
    let sides = [size[2], size[3], size[4]];
    let options = (Kind::Int64, Device::Cpu);
    let axis = |axis: usize, ends: bool| {
        let mut shape = [1i64; 3];
        shape[axis] = -1;
        let from = i64::from(ends);
        Tensor::arange_start(from, sides[axis] + from, options).view(shape).expand(sides, false).flatten(0, -1)
    };
    let factors = [FRAMES, FACTOR, FACTOR];
    let of = |place: usize| {
        let both = Tensor::stack(&[axis(place, false), axis(place, true)], -1) * factors[place];
        match place {
            // The first latent frame is one frame, if it is that of the video.
            0 if at == 0 => (both + (1 - FRAMES)).clamp_min(0) + at,
            0 => both + at,
            _ => both,
        }
    };
    Tensor::stack(&[of(0), of(1), of(2)], 0).unsqueeze(0).repeat([size[0], 1, 1, 1])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Figures from ComfyUI 0.8.0.
    #[test]
    fn guides_stand_where_the_reference_has_them() {
        assert_eq!([place(0, 1, 4), place(5, 1, 4), place(-1, 1, 4), place(-99, 1, 4)], [0, 5, 24, 0]);
        assert_eq!([place(0, 9, 4), place(8, 9, 4), place(9, 9, 4), place(-8, 17, 4)], [0, 1, 9, 17]);
        let guide = Tensor::zeros([1, 128, 2, 1, 2], (Kind::Float, Device::Cpu));
        let times = |at: i64| -> Vec<i64> { Vec::try_from(places(&guide, at).select(1, 0).flatten(0, -1)).unwrap() };
        assert_eq!(times(0), [0, 1, 0, 1, 1, 9, 1, 9]);
        assert_eq!(times(9), [9, 17, 9, 17, 17, 25, 17, 25]);
        let columns: Vec<i64> = Vec::try_from(places(&guide, 0).select(1, 2).flatten(0, -1)).unwrap();
        assert_eq!(columns, [0, 32, 32, 64, 0, 32, 32, 64]);
    }
}
