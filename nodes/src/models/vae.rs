//! The autoencoder between pixels and latents (AutoencoderKL, Rombach et al. 2022).

use anyhow::{Result, ensure};
use tch::Tensor;

use super::picture_autoencoder::PictureAutoencoder;
use super::vae_blocks::{Decoder, Encoder, Naming};
use crate::files::weights::Weights;
use crate::ops::layers::Conv2d;
use crate::ops::numerics::{Numerics, Placement, channels_last};

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
}

impl PictureAutoencoder for Vae {
    /// 4 in SD1.x.
    fn latent_channels(&self) -> i64 {
        self.latent_channels
    }

    /// 8 in SD1.x.
    fn factor(&self) -> i64 {
        self.factor
    }

    /// The posterior's mean.
    fn encode_picture(&self, pixels: &Tensor) -> Tensor {
        let [mean, _] = self.moments(&(pixels * 2.0 - 1.0));
        mean
    }

    fn decodes_together(&self) -> bool {
        self.decoder.is_video()
    }

    fn decode_picture(&self, latent: &Tensor) -> Tensor {
        self.decode_latent(latent)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::{Device, Kind};

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
}
