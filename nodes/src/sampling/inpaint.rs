//! Inpainting: sampling in which a part of the latent is kept.

use anyhow::{Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use super::denoise::{Denoise, Denoised};
use super::hooks::{Hooks, Levels};
use crate::ops::composite::fill_batch;

/// A denoiser that keeps a part of the latent: where the mask is 0, its input is the known latent noised to the current
/// level, and its output the known latent.
pub struct Inpaint<'a> {
    /// The denoiser that it wraps.
    pub inner: &'a mut dyn Denoise,
    /// B×C×h×w: 1 = repaint, 0 = keep; values between mix the two.
    pub mask: Tensor,
    /// The known latent in the network's scale.
    pub latent: Tensor,
    /// The noise that is added to it.
    pub noise: Tensor,
    /// Hooks, which may change the mask at each level.
    pub hooks: &'a Hooks,
    /// The noise levels of the run, for the hooks.
    pub levels: Levels<'a>,
}

impl Denoise for Inpaint<'_> {
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Denoised> {
        let mask = &self.hooks.mask(&self.mask, sigma, &self.levels);
        let keep = 1f64 - mask;
        let known = self.levels.sampling.at_level(&self.latent, &self.noise, sigma as f32);
        let seen = x * mask + known * &keep;
        let result = self.inner.denoise(&seen, sigma)?;
        Ok(Denoised { denoised: result.denoised * mask + &self.latent * keep, ..result })
    }

    fn on_step(&mut self, step: usize, total: usize, denoised: &Tensor) -> Result<()> {
        self.inner.on_step(step, total, denoised)
    }
}

/// A latent's noise mask (H×W, N×H×W, N×1×H×W, or N×1×T×H×W) for latents shaped B×C×h×w or B×C×T×h×w: linear to the size, repeated over
/// channels and batch, not thresholded. For the latents of a video, a mask without frames of its own has them in place of its batch.
pub fn fitted_mask(mask: &Tensor, shape: &[i64], device: Device) -> Result<Tensor> {
    let size = mask.size();
    ensure!(
        size.len() >= 2 && mask.numel() > 0,
        "a noise mask is shaped {size:?}, but masks are height x width or batch x height x width"
    );
    let (height, width) = (size[size.len() - 2], size[size.len() - 1]);
    let mask = mask.to_device(device).to_kind(Kind::Float);
    let mask = match shape[2..] {
        [rows, columns] => {
            let mask = mask.reshape([-1, 1, height, width]);
            mask.upsample_bilinear2d([rows, columns], false, None, None).repeat([1, shape[1], 1, 1])
        }
        [frames, rows, columns] => {
            let mask = if size.len() == 5 { mask } else { mask.reshape([1, 1, -1, height, width]) };
            let mask = mask.upsample_trilinear3d([frames, rows, columns], false, None, None, None);
            if size.len() == 5 && size[1] >= shape[1] {
                mask
            } else {
                mask.repeat([1, shape[1], 1, 1, 1]).narrow(1, 0, shape[1])
            }
        }
        _ => bail!(
            "a noise mask needs latents of pictures or of a video, and these are shaped {shape:?}: leave the mask out"
        ),
    };
    Ok(fill_batch(&mask, shape[0]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::diffusion::parameterisation::Parameterisation;

    struct Recorder(Option<Tensor>);

    impl Denoise for Recorder {
        fn denoise(&mut self, x: &Tensor, _: f64) -> Result<Denoised> {
            self.0 = Some(x.shallow_clone());
            Ok(Denoised { denoised: x * 10.0, uncond: x.zeros_like() })
        }

        fn on_step(&mut self, _: usize, _: usize, _: &Tensor) -> Result<()> {
            Ok(())
        }
    }

    fn full(value: f64) -> Tensor {
        Tensor::full([1, 4, 1, 1], value, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn known_part_is_noised_on_the_way_in_and_restored_on_the_way_out() {
        for (mask, seen, denoised) in [(1.0, 5.0, 50.0), (0.0, 2.0 * 3.0 + 1.0, 1.0), (0.5, 6.0, 30.5)] {
            let mut recorder = Recorder(None);
            let (hooks, sampling) = (Hooks::default(), Parameterisation::sd15());
            let mut inpaint = Inpaint {
                inner: &mut recorder,
                mask: full(mask),
                latent: full(1.0),
                noise: full(2.0),
                hooks: &hooks,
                levels: Levels { sampling: &sampling, sigmas: &[] },
            };
            let result = inpaint.denoise(&full(5.0), 3.0).unwrap();
            assert_eq!(result.denoised.double_value(&[0, 0, 0, 0]), denoised);
            assert_eq!(recorder.0.unwrap().double_value(&[0, 0, 0, 0]), seen);
        }
    }

    #[test]
    fn mask_is_fitted() {
        let mask = Tensor::from_slice(&[0f32, 1.0, 0.0, 1.0]).view([2, 2]);
        let fitted = fitted_mask(&mask, &[3, 4, 4, 4], Device::Cpu).unwrap();
        assert_eq!(fitted.size(), [3, 4, 4, 4]);
        let row: Vec<f64> = (0..4).map(|x| fitted.double_value(&[2, 3, 1, x])).collect();
        assert_eq!(row, [0.0, 0.25, 0.75, 1.0]);
    }

    #[test]
    fn the_masks_of_a_batch_are_those_of_a_videos_frames() {
        let mask = Tensor::from_slice(&[0f32, 1.0]).view([2, 1, 1]);
        let fitted = fitted_mask(&mask, &[1, 3, 4, 2, 2], Device::Cpu).unwrap();
        assert_eq!(fitted.size(), [1, 3, 4, 2, 2]);
        let frames: Vec<f64> = (0..4).map(|t| fitted.double_value(&[0, 2, t, 1, 1])).collect();
        assert_eq!(frames, [0.0, 0.25, 0.75, 1.0]);
        let one = fitted_mask(&mask.view([2, 1, 1, 1, 1]), &[2, 3, 1, 2, 2], Device::Cpu).unwrap();
        assert_eq!((one.size(), one.double_value(&[1, 2, 0, 0, 0])), (vec![2, 3, 1, 2, 2], 1.0));
        assert!(fitted_mask(&mask, &[1, 3, 4], Device::Cpu).is_err());
    }
}
