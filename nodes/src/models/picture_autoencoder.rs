//! What autoencoders of pictures have in common: groups of pictures, tiles, the way from values in 0…1 and back.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::vae_tiled::{Scale, Side, count, tiled};

/// How many pixels are worked through at once, unless a single picture has more: a quarter of a gigabyte in the widest layer (256
/// channels, float32).
const PIXELS_AT_ONCE: i64 = 1 << 18;

/// Called after every tile with tiles done and tiles in all; an error ends the work.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> Result<()>;

/// An autoencoder of pictures.
pub trait PictureAutoencoder {
    /// Channels of a latent.
    fn latent_channels(&self) -> i64;

    /// Pixels per latent point along a side.
    fn factor(&self) -> i64;

    /// Pixels B×3×H×W in 0…1, with sides that are multiples of the factor, to a latent.
    fn encode_picture(&self, pixels: &Tensor) -> Tensor;

    /// A latent B×C×h×w to pixels about -1…1 that are not clamped, B×3×H×W.
    fn decode_picture(&self, latent: &Tensor) -> Tensor;

    /// Whether the latents of a batch are the frames of one video, which are decoded together.
    fn decodes_together(&self) -> bool {
        false
    }

    /// Encodes pictures to latents.
    ///
    /// `pixels` is B×H×W×C with values in 0…1; height and width are cropped to multiples of the factor about the middle, and
    /// channels after the third are left out. The result is unscaled, in float32 on the CPU.
    /// If a GPU runs out of memory, the work is done again in tiles.
    fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let pixels = self.crop(pixels)?;
        let whole = || -> Result<Tensor> {
            let area = pixels.size()[2] * pixels.size()[3];
            Ok(in_groups(&pixels, area, |group| host(&self.encode_picture(group))))
        };
        match unless_out_of_memory(whole) {
            Some(latents) => latents,
            None => self.encode_cropped(&pixels, 512, 64, &mut |_, _| Ok(())),
        }
    }

    /// Like [`PictureAutoencoder::encode`], in tiles of `tile` by `tile` pixels and of twice the height and half the width and the reverse,
    /// overlapping by `overlap` pixels; the result is the mean of the three.
    ///
    /// An error if the overlap is not smaller than half a tile and the picture does not fit into one.
    fn encode_tiled(&self, pixels: &Tensor, tile: i64, overlap: i64, progress: Progress) -> Result<Tensor> {
        self.encode_cropped(&self.crop(pixels)?, tile, overlap, progress)
    }

    fn encode_cropped(&self, pixels: &Tensor, tile: i64, overlap: i64, progress: Progress) -> Result<Tensor> {
        let [square, wide, tall] = tilings(tile, overlap)?;
        let scale = 1.0 / self.factor() as f64;
        self.average(pixels, [square, wide, tall], scale, self.latent_channels(), progress, &|x| self.encode_picture(x))
    }

    /// Decodes latents to pictures.
    ///
    /// `latent` is B×C×h×w, unscaled. The result is B×H×W×3 with values clamped to 0…1, in float32 on the CPU. If a GPU
    /// runs out of memory, the work is done again in tiles.
    fn decode(&self, latent: &Tensor) -> Result<Tensor> {
        self.check_latent(latent)?;
        let whole = || -> Result<Tensor> {
            if self.decodes_together() {
                return Ok(picture(&host(&self.decode_picture(latent))));
            }
            let area = latent.size()[2] * latent.size()[3] * self.factor() * self.factor();
            Ok(picture(&in_groups(latent, area, |group| host(&self.decode_picture(group)))))
        };
        match unless_out_of_memory(whole) {
            Some(pictures) => pictures,
            None => self.decode_tiled(latent, 64, 16, &mut |_, _| Ok(())),
        }
    }

    /// Like [`PictureAutoencoder::decode`], in tiles of `tile` by `tile` latent points and of twice the height and half the width and the
    /// reverse, overlapping by `overlap` points; the result is the mean of the three.
    ///
    /// An error if the overlap is not smaller than half a tile and the latent does not fit into one.
    fn decode_tiled(&self, latent: &Tensor, tile: i64, overlap: i64, progress: Progress) -> Result<Tensor> {
        self.check_latent(latent)?;
        let [square, wide, tall] = tilings(tile, overlap)?;
        let decoded =
            self.average(latent, [tall, wide, square], self.factor() as f64, 3, progress, &|x| self.decode_picture(x))?;
        Ok(picture(&decoded))
    }

    /// The mean over three tilings, added in the order given.
    fn average(
        &self,
        x: &Tensor,
        tilings: [[(i64, i64); 2]; 3],
        scale: f64,
        channels: i64,
        progress: Progress,
        function: &dyn Fn(&Tensor) -> Tensor,
    ) -> Result<Tensor> {
        let tilings =
            tilings.map(|tiling| tiling.map(|(tile, overlap)| Side { tile, overlap, scale: Scale::Times(scale) }));
        let mut total = 0;
        for sides in &tilings {
            total += count(x, sides)?;
        }
        let mut done = 0;
        let mut sum: Option<Tensor> = None;
        for sides in tilings {
            let part = tiled(x, &sides, channels, |tile| {
                let result = function(tile);
                done += 1;
                progress(done, total)?;
                Ok(result)
            })?;
            sum = Some(match sum {
                Some(sum) => sum + part,
                None => part,
            });
        }
        Ok(sum.context("no tilings")? / 3.0)
    }

    /// B×H×W×C to B×3×H'×W' with sides cut to multiples of the factor.
    fn crop(&self, pixels: &Tensor) -> Result<Tensor> {
        cropped(pixels, self.factor(), 3)
    }

    fn check_latent(&self, latent: &Tensor) -> Result<()> {
        let size = latent.size();
        ensure!(
            size.len() == 4 && size[1] == self.latent_channels() && size.iter().all(|&n| n > 0),
            "the latent has shape {size:?}; this VAE decodes batch, {} channels, height and width",
            self.latent_channels()
        );
        Ok(())
    }
}

/// B×H×W×C to B×`channels`×H'×W' with sides cut to multiples of `factor` about the middle, and further channels left out.
pub(super) fn cropped(pixels: &Tensor, factor: i64, channels: i64) -> Result<Tensor> {
    let size = pixels.size();
    ensure!(
        size.len() == 4 && size[0] > 0 && size[3] >= channels,
        "pixels have shape {size:?}; batch, height, width and at least {} channels are needed",
        if channels == 3 { "three".to_owned() } else { channels.to_string() }
    );
    let side = |n: i64| (n / factor * factor, n % factor / 2);
    let ((height, top), (width, left)) = (side(size[1]), side(size[2]));
    ensure!(
        height > 0 && width > 0,
        "a picture of {}x{} pixels is too small to encode; at least {factor}x{factor} are needed",
        size[2],
        size[1],
    );
    Ok(pixels.narrow(1, top, height).narrow(2, left, width).narrow(3, 0, channels).permute([0, 3, 1, 2]))
}

/// Square tiles, wide ones and tall ones of the same area: for height and width the length of a tile and the overlap.
fn tilings(tile: i64, overlap: i64) -> Result<[[(i64, i64); 2]; 3]> {
    ensure!(tile >= 2 && overlap >= 0, "tiles of {tile} with an overlap of {overlap} cannot be cut; raise tile_size");
    let double = tile.saturating_mul(2);
    Ok([(tile, tile), (tile / 2, double), (double, tile / 2)]
        .map(|(height, width)| [(height, overlap), (width, overlap)]))
}

/// Works a batch through in groups, as many pictures of that many pixels at once as [`PIXELS_AT_ONCE`] allows: small ones
/// together, as the reference does; large ones alone, which bounds memory.
pub(super) fn in_groups(batch: &Tensor, area: i64, work: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let (count, at_once) = (batch.size()[0], (PIXELS_AT_ONCE / area).max(1));
    let starts = (0..count).step_by(at_once as usize);
    let done: Vec<Tensor> = starts.map(|start| work(&batch.narrow(0, start, at_once.min(count - start)))).collect();
    if done.len() == 1 { done[0].shallow_clone() } else { Tensor::cat(&done, 0) }
}

/// Float32 on the CPU.
fn host(x: &Tensor) -> Tensor {
    x.to_device_(Device::Cpu, Kind::Float, false, false)
}

/// B×3×H×W about -1…1 to B×H×W×3 clamped to 0…1.
fn picture(x: &Tensor) -> Tensor {
    ((x + 1.0) / 2.0).clamp(0.0, 1.0).permute([0, 2, 3, 1])
}

/// Runs `work`, or gives `None` if a device had no memory left for it. Any other panic goes on its way.
pub(super) fn unless_out_of_memory<T>(work: impl FnOnce() -> Result<T>) -> Option<Result<T>> {
    let panic = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => return Some(result),
        Err(panic) => panic,
    };
    let message = panic.downcast_ref::<String>().map(String::as_str).unwrap_or_default();
    if message.contains("CUDA out of memory") {
        tracing::warn!("the device is out of memory; working in tiles instead");
        return None;
    }
    resume_unwind(panic)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn running_out_of_memory_is_told_from_other_panics() {
        let out = || -> Result<()> { panic!("{}", String::from("CUDA out of memory. Tried to allocate 2 GiB")) };
        assert!(unless_out_of_memory(out).is_none());
        assert!(unless_out_of_memory(|| Ok(3)).unwrap().unwrap() == 3);
        let other = catch_unwind(|| unless_out_of_memory(|| -> Result<()> { panic!("something else") }));
        assert!(other.is_err());
    }
}
