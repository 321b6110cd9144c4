//! The autoencoder between pixels and latents (AutoencoderKL, Rombach et al. 2022).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::vae_blocks::{Decoder, Encoder, Naming};
use super::vae_tiled::{Scale, Side, count, tiled};
use crate::files::weights::Weights;
use crate::ops::layers::Conv2d;
use crate::ops::numerics::{Numerics, Placement, channels_last};

/// How many pixels are worked through at once, unless a single picture has more: a quarter of a gigabyte in the widest layer (256
/// channels, float32).
const PIXELS_AT_ONCE: i64 = 1 << 18;

/// Called after every tile with tiles done and tiles in all; an error ends the work.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> Result<()>;

/// The autoencoder of Stable Diffusion: 8×8 pixels become one point of 4 channels.
///
/// Sizes are read off the weights. Large pictures are worked through one at a time, which bounds memory.
pub struct Vae {
    placement: Placement,
    encoder: Encoder,
    decoder: Decoder,
    quant: Option<Conv2d>,
    post_quant: Option<Conv2d>,
    latent_channels: i64,
    factor: i64,
}

impl Vae {
    /// Builds the autoencoder from the tensors below `weights` (`encoder.*`, `decoder.*`, …).
    ///
    /// Takes the original's tensor names and those of diffusers. Errors name the tensor that is missing or has another
    /// shape than its neighbours call for, and other autoencoders for what they are.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.vae();
        let w = &weights.placed(placement);
        ensure!(
            !w.contains("taesd_decoder.1.weight") && !w.contains("decoder.1.weight"),
            "{} is a TAESD preview decoder, which is not supported; use a full VAE",
            w.path().display()
        );
        let naming = Naming::of(w);
        let encoder = Encoder::load(&w.at("encoder"), naming)?;
        let decoder = Decoder::load(&w.at("decoder"), naming)?;
        let conv = |name: &str| -> Result<Option<Conv2d>> {
            let w = w.at(name);
            if w.is_empty() {
                return Ok(None);
            }
            Ok(Some(Conv2d::load(&w, w.dim("weight", 1)?, w.dim("weight", 0)?, 1)?))
        };
        let (quant, post_quant) = (conv("quant_conv")?, conv("post_quant_conv")?);
        let moments = quant.as_ref().map_or(encoder.outputs(), Conv2d::outputs);
        let latent_channels = post_quant.as_ref().map_or(decoder.inputs(), Conv2d::inputs);
        ensure!(
            quant.as_ref().is_none_or(|conv| conv.inputs() == encoder.outputs())
                && post_quant.as_ref().is_none_or(|conv| conv.outputs() == decoder.inputs())
                && moments == 2 * latent_channels
                && encoder.halvings() == decoder.doublings(),
            "encoder and decoder in {} do not fit together; the file is of another kind, or damaged",
            w.path().display()
        );
        let factor = 1 << encoder.halvings();
        Ok(Self { placement, encoder, decoder, quant, post_quant, latent_channels, factor })
    }

    /// Channels of a latent: 4 in SD1.x.
    pub fn latent_channels(&self) -> i64 {
        self.latent_channels
    }

    /// Pixels per latent point along a side: 8 in SD1.x.
    pub fn factor(&self) -> i64 {
        self.factor
    }

    /// Encodes pictures to latents.
    ///
    /// `pixels` is B×H×W×C with values in 0…1; height and width are cropped to multiples of 8 about the middle, and channels
    /// after the third are left out. The result is the mean of the posterior, B×4×H/8×W/8, unscaled, in float32 on the CPU.
    /// If a GPU runs out of memory, the work is done again in tiles.
    pub fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
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

    /// Like [`Vae::encode`], in tiles of `tile` by `tile` pixels and of twice the height and half the width and the reverse,
    /// overlapping by `overlap` pixels; the result is the mean of the three.
    ///
    /// An error if the overlap is not smaller than half a tile and the picture does not fit into one.
    pub fn encode_tiled(&self, pixels: &Tensor, tile: i64, overlap: i64, progress: Progress) -> Result<Tensor> {
        self.encode_cropped(&self.crop(pixels)?, tile, overlap, progress)
    }

    fn encode_cropped(&self, pixels: &Tensor, tile: i64, overlap: i64, progress: Progress) -> Result<Tensor> {
        let [square, wide, tall] = tilings(tile, overlap)?;
        let scale = 1.0 / self.factor as f64;
        self.average(pixels, [square, wide, tall], scale, self.latent_channels, progress, &|x| self.encode_picture(x))
    }

    /// Decodes latents to pictures.
    ///
    /// `latent` is B×4×h×w, unscaled. The result is B×8h×8w×3 with values clamped to 0…1, in float32 on the CPU. If a GPU
    /// runs out of memory, the work is done again in tiles.
    pub fn decode(&self, latent: &Tensor) -> Result<Tensor> {
        self.check_latent(latent)?;
        let whole = || -> Result<Tensor> {
            let area = latent.size()[2] * latent.size()[3] * self.factor * self.factor;
            Ok(picture(&in_groups(latent, area, |group| host(&self.decode_latent(group)))))
        };
        match unless_out_of_memory(whole) {
            Some(pictures) => pictures,
            None => self.decode_tiled(latent, 64, 16, &mut |_, _| Ok(())),
        }
    }

    /// Like [`Vae::decode`], in tiles of `tile` by `tile` latent points and of twice the height and half the width and the
    /// reverse, overlapping by `overlap` points; the result is the mean of the three.
    ///
    /// An error if the overlap is not smaller than half a tile and the latent does not fit into one.
    pub fn decode_tiled(&self, latent: &Tensor, tile: i64, overlap: i64, progress: Progress) -> Result<Tensor> {
        self.check_latent(latent)?;
        let [square, wide, tall] = tilings(tile, overlap)?;
        let decoded =
            self.average(latent, [tall, wide, square], self.factor as f64, 3, progress, &|x| self.decode_latent(x))?;
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

    /// Pixels B×3×H×W in 0…1 to the posterior's mean.
    fn encode_picture(&self, pixels: &Tensor) -> Tensor {
        let [mean, _] = self.moments(&(pixels * 2.0 - 1.0));
        mean
    }

    /// Mean and logarithm of the variance of the latent's distribution, B×4×H/8×W/8 each, unscaled, on the VAE's device.
    ///
    /// `pixels` is B×3×H×W in -1…1, with sides that are multiples of 8. Gradients go through.
    pub fn moments(&self, pixels: &Tensor) -> [Tensor; 2] {
        let x = self.placement.place(pixels);
        // Otherwise as the picture lies in memory, on which the rounding depends: channels last from a file, channels first
        // from a decoded latent.
        let x = if self.placement.channels_last { channels_last(&x) } else { x };
        let mut moments = self.encoder.forward(&x);
        if let Some(conv) = &self.quant {
            moments = conv.forward(&moments);
        }
        [0, 1].map(|half| moments.narrow(1, half * self.latent_channels, self.latent_channels))
    }

    /// A latent B×4×h×w, unscaled, to pixels about -1…1 that are not clamped, B×3×8h×8w, on the VAE's device. Gradients go
    /// through.
    pub fn decode_latent(&self, latent: &Tensor) -> Tensor {
        let mut z = self.placement.image(latent);
        if let Some(conv) = &self.post_quant {
            z = conv.forward(&z);
        }
        self.decoder.forward(&z)
    }

    /// B×H×W×C to B×3×H'×W' with sides cut to multiples of the factor.
    fn crop(&self, pixels: &Tensor) -> Result<Tensor> {
        cropped(pixels, self.factor, 3)
    }

    fn check_latent(&self, latent: &Tensor) -> Result<()> {
        let size = latent.size();
        ensure!(
            size.len() == 4 && size[1] == self.latent_channels && size.iter().all(|&n| n > 0),
            "the latent has shape {size:?}; this VAE decodes batch, {} channels, height and width",
            self.latent_channels
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
    use crate::models::reference::{agree, checkpoint, expected, figures, file};
    use crate::ops::noise::randn;

    fn tiny() -> Vae {
        let weights = checkpoint("sd15-tiny-random");
        Vae::load(&weights.at("first_stage_model"), &Numerics::cpu()).unwrap()
    }

    fn pixels() -> Tensor {
        (randn(5, &[2, 72, 61, 4]) * 0.2 + 0.5).clamp(0.0, 1.0)
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn encoding_agrees_with_the_reference_on_odd_sizes_and_four_channels() {
        let _guard = tch::no_grad_guard();
        let vae = tiny();
        assert_eq!((vae.factor(), vae.latent_channels()), (8, 4));
        let latent = vae.encode(&pixels()).unwrap();
        assert_eq!(latent.size(), [2, 4, 9, 7]);
        figures(
            &latent,
            0.029_373_076_2,
            0.242_638_521,
            &[-0.053_199_783, -0.022_771_865, -0.051_590_77, -0.006_531_756_4, -0.039_014_332, 0.311_915_64],
        );
        let decoded = vae.decode(&latent).unwrap();
        assert_eq!(decoded.size(), [2, 72, 56, 3]);
        figures(
            &decoded,
            0.480_084_139,
            0.140_993_396,
            &[0.512_535_27, 0.479_511_17, 0.356_018_19, 0.524_232_03, 0.481_826_22, 0.515_606_64],
        );
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn tiles_agree_with_the_reference() {
        let _guard = tch::no_grad_guard();
        let vae = tiny();
        let mut seen = Vec::new();
        let latent = vae
            .encode_tiled(&pixels(), 64, 16, &mut |done, total| {
                seen.push((done, total));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen.last().unwrap().0, seen.last().unwrap().1);
        figures(
            &latent,
            0.017_329_883_8,
            0.207_154_446,
            &[-0.056_713_764, -0.028_990_17, -0.089_042_015, -0.003_890_032_6, -0.027_627_498, 0.252_065_39],
        );
        let latent = randn(6, &[1, 4, 20, 28]) * 3.0;
        figures(
            &vae.decode(&latent).unwrap(),
            0.478_375_66,
            0.143_619_544,
            &[0.480_870_63, 0.485_270_86, 0.338_059_87, 0.475_570_14, 0.514_511_11, 0.513_958_57],
        );
        let decode = |tile, overlap| vae.decode_tiled(&latent, tile, overlap, &mut |_, _| Ok(())).unwrap();
        figures(
            &decode(8, 2),
            0.474_063_499,
            0.145_208_095,
            &[0.469_370_99, 0.483_803_21, 0.354_068_4, 0.453_247_01, 0.529_977_02, 0.505_057_57],
        );
        figures(
            &decode(16, 4),
            0.476_628_097,
            0.145_788_767,
            &[0.478_237_12, 0.487_635_85, 0.335_087_24, 0.472_315_82, 0.521_285_65, 0.508_843_48],
        );
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn the_conformance_cases_are_met() {
        let _guard = tch::no_grad_guard();
        let (vae, tiled) = (tiny(), expected("vae/decode-tiled"));
        let whole = expected("image2image/ksampler-denoise-0.0");
        let read = |case: &Weights, name: &str| case.tensor(name, &case.shape(name).unwrap()).unwrap();
        let draft = read(&whole, "13/0");
        agree(&vae.encode(&draft).unwrap(), &read(&tiled, "12/0/samples"));
        agree(&vae.encode_tiled(&draft, 64, 0, &mut |_, _| Ok(())).unwrap(), &read(&tiled, "9/0/samples"));
        // tile_size 64 and overlap 16 in pixels, as the node hands them on in latent points.
        agree(
            &vae.decode_tiled(&read(&tiled, "12/0/samples"), 8, 2, &mut |_, _| Ok(())).unwrap(),
            &read(&tiled, "8/0"),
        );
        // The same autoencoder in a file of its own.
        let alone = Vae::load(&file("base/models/vae/sd15-tiny-random-vae.safetensors"), &Numerics::cpu()).unwrap();
        agree(&alone.encode(&draft).unwrap(), &read(&whole, "12/0/samples"));
        agree(&alone.decode(&read(&whole, "16/0/samples")).unwrap(), &read(&whole, "8/0"));
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn unusable_input_is_an_error_not_a_panic() {
        let _guard = tch::no_grad_guard();
        let vae = tiny();
        let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
        let message = |result: Result<Tensor>| result.unwrap_err().to_string();
        assert!(message(vae.encode(&zeros(&[1, 7, 64, 3]))).contains("64x7"));
        assert!(message(vae.encode(&zeros(&[1, 64, 64, 1]))).contains("three channels"));
        assert!(message(vae.decode(&zeros(&[1, 16, 8, 8]))).contains("[1, 16, 8, 8]"));
        assert!(message(vae.decode_tiled(&zeros(&[1, 4, 20, 8]), 8, 4, &mut |_, _| Ok(()))).contains("overlap"));
        let stopped = vae.decode_tiled(&zeros(&[1, 4, 8, 8]), 8, 2, &mut |_, _| Err(anyhow::anyhow!("stop")));
        assert_eq!(message(stopped), "stop");
    }

    #[test]
    fn running_out_of_memory_is_told_from_other_panics() {
        let out = || -> Result<()> { panic!("{}", String::from("CUDA out of memory. Tried to allocate 2 GiB")) };
        assert!(unless_out_of_memory(out).is_none());
        assert!(unless_out_of_memory(|| Ok(3)).unwrap().unwrap() == 3);
        let other = catch_unwind(|| unless_out_of_memory(|| -> Result<()> { panic!("something else") }));
        assert!(other.is_err());
    }
}
