//! What checkpoints with further input channels are shown beside the noisy latent.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use crate::diffusion::latent_format::LatentFormat;
use crate::diffusion::network::Beside;
use crate::values::Entry;

/// An entry's further input channels for a batch of latents.
///
/// `noise_mask` (B×C×h×w) and `latent` (B×4×h×w, network's scale) are the run's, and of its size.
pub(super) fn extra_channels(
    beside: Beside,
    entry: &Entry,
    noise_mask: Option<&Tensor>,
    latent: &Tensor,
    format: LatentFormat,
) -> Result<Tensor> {
    match beside {
        Beside::MaskAndLatent => masked_latent(entry, noise_mask, latent, format),
        // In VAE units, and no mask has a say.
        Beside::Latent => match &entry.concat_latent {
            Some(shown) => as_run(shown, latent),
            None => Ok(latent.zeros_like()),
        },
    }
}

/// The rounded mask, then the latent of the picture with the masked part greyed: B×5×h×w.
///
/// The run's own stand in for what the entry does not bring. Without any mask, all is to be painted over a grey picture.
fn masked_latent(entry: &Entry, noise_mask: Option<&Tensor>, latent: &Tensor, format: LatentFormat) -> Result<Tensor> {
    let (batch, _, height, width) = latent.size4()?;
    let noise_mask = noise_mask.map(|mask| mask.narrow(1, 0, 1));
    let Some(mask) = entry.concat_mask.as_ref().or(noise_mask.as_ref()) else {
        return Ok(all_masked(latent));
    };
    let size = mask.size();
    ensure!(size.len() >= 2, "the inpainting mask is shaped {size:?}, but masks are height x width");
    let mask = mask.reshape([-1, 1, size[size.len() - 2], size[size.len() - 1]]).to_kind(Kind::Float);
    let mask = spread_over_batch(&fitted(&mask, height, width).round(), batch);
    let shown = match &entry.concat_latent {
        Some(shown) => as_run(&format.in_network_scale(&shown.to_kind(Kind::Float)), latent)?,
        None => latent.shallow_clone(),
    };
    Ok(Tensor::cat(&[mask.to_device(latent.device()), shown], 1))
}

/// A latent to be shown, in the run's size and batch, on its device.
fn as_run(shown: &Tensor, latent: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = latent.size4()?;
    let size = shown.size();
    ensure!(
        size.len() == 4 && size[1] == channels && shown.numel() > 0,
        "a conditioning shows a latent shaped {size:?} to a model whose latents have {channels} channels: encode its \
         picture with this model's VAE"
    );
    let shown = shown.to_device(latent.device()).to_kind(Kind::Float);
    Ok(spread_over_batch(&fitted(&shown, height, width), batch))
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
    use tch::Device;

    #[test]
    fn channels_of_an_inpainting_checkpoint() {
        let entry = Entry::new(Tensor::zeros([1, 1, 1], (Kind::Float, Device::Cpu)));
        let latent = Tensor::ones([2, 4, 8, 8], (Kind::Float, Device::Cpu));
        let blank = extra_channels(Beside::MaskAndLatent, &entry, None, &latent, LatentFormat::SD15).unwrap();
        assert_eq!(blank.size(), [2, 5, 8, 8]);
        let at = |tensor: &Tensor, channel| tensor.double_value(&[1, channel, 3, 3]) as f32;
        assert_eq!([at(&blank, 0), at(&blank, 1), at(&blank, 4)], [1.0, 0.8223, 0.1380]);
        let mask = latent.full_like(0.4);
        let masked = extra_channels(Beside::MaskAndLatent, &entry, Some(&mask), &latent, LatentFormat::SD15).unwrap();
        assert_eq!([at(&masked, 0), at(&masked, 1)], [0.0, 1.0]);
    }

    #[test]
    fn a_shown_latent_keeps_its_units_and_is_spread_over_the_batch() {
        let latent = Tensor::ones([5, 4, 4, 4], (Kind::Float, Device::Cpu));
        let channels =
            |entry: &Entry| extra_channels(Beside::Latent, entry, Some(&latent), &latent, LatentFormat::SD15);
        let mut entry = Entry::new(Tensor::zeros([1, 1, 1], (Kind::Float, Device::Cpu)));
        assert_eq!(channels(&entry).unwrap(), latent.zeros_like());
        // Two pictures, twice as wide: the middle is shown.
        let columns = Tensor::from_slice(&[9f32, 9., 1., 1., 1., 1., 9., 9.]).view([1, 1, 1, 8]);
        let pictures = columns * Tensor::from_slice(&[1f32, 2.]).view([2, 1, 1, 1]);
        entry.concat_latent = Some(pictures.expand([2, 4, 4, 8], false));
        let shown = channels(&entry).unwrap();
        assert_eq!(shown.size(), [5, 4, 4, 4]);
        let first: Vec<f32> = Vec::try_from(shown.select(1, 0).select(1, 0).select(1, 0)).unwrap();
        assert_eq!(first, [1.0, 1.0, 2.0, 2.0, 2.0]);
        entry.concat_latent = Some(Tensor::zeros([1, 16, 4, 4], (Kind::Float, Device::Cpu)));
        let message = channels(&entry).unwrap_err().to_string();
        assert!(message.contains("[1, 16, 4, 4]") && message.contains("VAE"), "{message}");
    }
}
