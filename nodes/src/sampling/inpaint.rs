//! Inpainting: sampling that keeps a part of the latent.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use super::denoise::{Denoise, Denoised, LatentFormat};
use super::hooks::{Hooks, Levels};
use crate::ops::composite::fill_batch;
use crate::values::Entry;

/// A denoiser that sees the known latent, noised to the current level, where the mask is 0, and answers with the known
/// latent there.
pub struct Inpaint<'a> {
    /// What it wraps.
    pub inner: &'a mut dyn Denoise,
    /// B×C×h×w: 1 = repaint, 0 = keep, anything between is mixed.
    pub mask: Tensor,
    /// The known latent in the network's scale.
    pub latent: Tensor,
    /// The noise that is laid over it.
    pub noise: Tensor,
    /// They may change the mask at each level.
    pub hooks: &'a Hooks,
    /// The run's noise levels, which hooks may look at.
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

/// A latent's noise mask (H×W, N×H×W or N×1×H×W) for latents shaped B×C×h×w: bilinear to the size, repeated over
/// channels and batch, not thresholded.
pub fn fitted_mask(mask: &Tensor, shape: &[i64], device: Device) -> Result<Tensor> {
    let size = mask.size();
    ensure!(
        size.len() >= 2 && mask.numel() > 0,
        "a noise mask is shaped {size:?}, but masks are height x width or batch x height x width"
    );
    let (height, width) = (size[size.len() - 2], size[size.len() - 1]);
    let mask = mask.to_device(device).to_kind(Kind::Float).reshape([-1, 1, height, width]);
    let mask = mask.upsample_bilinear2d([shape[2], shape[3]], false, None, None).repeat([1, shape[1], 1, 1]);
    Ok(fill_batch(&mask, shape[0]))
}

/// The five extra input channels of an inpainting checkpoint, B×5×h×w: the rounded mask, then the latent of the picture
/// with the masked part greyed.
///
/// `noise_mask` (B×C×h×w) and `latent` (B×4×h×w, network's scale) stand in for what the entry does not bring. Without
/// any mask, all is to be painted over a grey picture.
pub(crate) fn masked_latent_channels(
    entry: &Entry,
    noise_mask: Option<&Tensor>,
    latent: &Tensor,
    format: LatentFormat,
) -> Result<Tensor> {
    let (batch, _, height, width) = latent.size4()?;
    let noise_mask = noise_mask.map(|mask| mask.narrow(1, 0, 1));
    let Some(mask) = entry.concat_mask.as_ref().or(noise_mask.as_ref()) else {
        return Ok(all_masked(latent));
    };
    let size = mask.size();
    ensure!(size.len() >= 2, "the inpainting mask is shaped {size:?}, but masks are height x width");
    let mask = mask.reshape([-1, 1, size[size.len() - 2], size[size.len() - 1]]).to_kind(Kind::Float);
    let mask = spread_over_batch(&fitted(&mask, height, width).round(), batch);
    let picture = match &entry.concat_latent {
        Some(latent) => format.in_network_scale(&latent.to_kind(Kind::Float)),
        None => latent.shallow_clone(),
    };
    let picture = spread_over_batch(&fitted(&picture, height, width), batch);
    Ok(Tensor::cat(&[mask.to_device(latent.device()), picture.to_device(latent.device())], 1))
}

/// A mask of ones over the latent of a grey picture.
fn all_masked(latent: &Tensor) -> Tensor {
    /// A grey picture's latent in the network's scale.
    const GREY: [f32; 4] = [0.8223, -0.6876, 0.6364, 0.1380];
    let ones = latent.ones_like();
    let grey = Tensor::from_slice(&GREY).to_device(latent.device()).view([1, 4, 1, 1]);
    Tensor::cat(&[ones.narrow(1, 0, 1), &ones.narrow(1, 0, 1) * grey], 1)
}

/// Cropped at the centre to the aspect ratio, then resized bilinearly.
fn fitted(picture: &Tensor, height: i64, width: i64) -> Tensor {
    let size = picture.size();
    let (old_height, old_width) = (size[size.len() - 2], size[size.len() - 1]);
    if (old_height, old_width) == (height, width) {
        return picture.shallow_clone();
    }
    let (old_aspect, aspect) = (old_width as f64 / old_height as f64, width as f64 / height as f64);
    let margin = |side: i64, ratio: f64| ((side as f64 - side as f64 * ratio) / 2.0).round_ties_even() as i64;
    let x = if old_aspect > aspect { margin(old_width, aspect / old_aspect) } else { 0 };
    let y = if old_aspect < aspect { margin(old_height, old_aspect / aspect) } else { 0 };
    let cropped = picture.narrow(-2, y, old_height - 2 * y).narrow(-1, x, old_width - 2 * x);
    cropped.upsample_bilinear2d([height, width], false, None, None)
}

/// A batch stretched or thinned to another size, keeping the order.
fn spread_over_batch(tensor: &Tensor, batch: i64) -> Tensor {
    let count = tensor.size()[0];
    if count == batch || batch <= 1 {
        return tensor.narrow(0, 0, batch.min(count));
    }
    let source = |place: i64| {
        if batch < count {
            let step = (count - 1) as f64 / (batch - 1) as f64;
            (place as f64 * step).round_ties_even() as i64
        } else {
            ((place as f64 + 0.5) * (count as f64 / batch as f64)).floor() as i64
        }
    };
    let places: Vec<i64> = (0..batch).map(|place| source(place).min(count - 1)).collect();
    tensor.index_select(0, &Tensor::from_slice(&places).to_device(tensor.device()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sampling::parameterisation::Parameterisation;

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
    fn channels_of_an_inpainting_checkpoint() {
        let entry = Entry::new(Tensor::zeros([1, 1, 1], (Kind::Float, Device::Cpu)));
        let latent = Tensor::ones([2, 4, 8, 8], (Kind::Float, Device::Cpu));
        let blank = masked_latent_channels(&entry, None, &latent, LatentFormat::SD15).unwrap();
        assert_eq!(blank.size(), [2, 5, 8, 8]);
        let at = |tensor: &Tensor, channel| tensor.double_value(&[1, channel, 3, 3]) as f32;
        assert_eq!([at(&blank, 0), at(&blank, 1), at(&blank, 4)], [1.0, 0.8223, 0.1380]);
        let mask = latent.full_like(0.4);
        let masked = masked_latent_channels(&entry, Some(&mask), &latent, LatentFormat::SD15).unwrap();
        assert_eq!([at(&masked, 0), at(&masked, 1)], [0.0, 1.0]);
    }
}
