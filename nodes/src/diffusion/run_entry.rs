//! An entry of a conditioning in a sampling run: what a family of models sees of it.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::extra_conds::{self, ExtraCond, ExtraConds};
use super::latent_format::LatentFormat;
use crate::values::Entry;
use crate::values::extras::{CONCAT_LATENT, CONCAT_MASK, REFERENCE_LATENTS, REFERENCE_METHOD};

/// An entry of a conditioning, and the run that it is for.
#[derive(Clone, Copy)]
pub struct RunEntry<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// The name of the list that it stands in: `positive`, `negative`.
    pub list: &'a str,
    /// The run's latents, B×C×h×w in the network's scale, on its device.
    pub latent: &'a Tensor,
    /// What the run may change, of the latents' shape.
    pub noise_mask: Option<&'a Tensor>,
    /// The run's latent space.
    pub latent_format: &'a LatentFormat,
    /// The run's seed.
    pub seed: u64,
}

/// The scale in which a latent is shown to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    InVaeUnits,
    InNetworkScale,
}

impl RunEntry<'_> {
    /// Height and width of the run's pictures, in pixels.
    pub fn picture_size(&self) -> [i64; 2] {
        let size = self.latent.size();
        [size[size.len() - 2] * 8, size[size.len() - 1] * 8]
    }

    /// What a network takes with the prompt, and the latents that it is to go by, if there are any, in its scale.
    pub fn with_references(&self, conds: ExtraConds) -> ExtraConds {
        let extras = &self.entry.extras;
        let Some(references) = extras.get(REFERENCE_LATENTS) else { return conds };
        let shown = references.iter().map(|latent| {
            let latent = latent.to_kind(Kind::Float);
            // Beside the values of a video's channels, its dimensions line up from the last one, as in the reference: its channels
            // become frames.
            let lined_up = self.latent_format.video && latent.dim() == 4;
            self.latent_format.shown(&if lined_up { latent.unsqueeze(0) } else { latent })
        });
        let conds = conds.with(extra_conds::REFERENCES, ExtraCond::Lists(shown.collect()));
        match extras.get(REFERENCE_METHOD) {
            Some(method) => conds.with(extra_conds::REFERENCE_METHOD, ExtraCond::Constant(method)),
            None => conds,
        }
    }

    /// The latent that the prompt shows, or zeros, for each of the run's latents: what InstructPix2Pix is shown.
    pub fn shown_latent(&self, scale: Shown) -> Result<Tensor> {
        match self.entry.extras.get(CONCAT_LATENT) {
            Some(shown) if scale == Shown::InNetworkScale => as_run(&self.latent_format.shown(&shown), self.latent),
            Some(shown) => as_run(&shown, self.latent),
            None => Ok(self.latent.zeros_like()),
        }
    }

    /// The same in the network's scale, where an empty latent in VAE units stands for none: what flow models are shown.
    pub fn shown_or_empty(&self) -> Result<Tensor> {
        let shown = match self.entry.extras.get(CONCAT_LATENT) {
            Some(shown) => as_run(&shown, self.latent)?,
            None => self.latent.zeros_like(),
        };
        Ok(self.latent_format.shown(&shown))
    }

    /// The mask that the prompt brings, or the run's own, or ones: B×64×h×w, each of the 8×8 pixels under a latent point a channel.
    pub fn mask_by_pixel(&self) -> Result<Tensor> {
        let latent = self.latent;
        let (batch, _, height, width) = latent.size4()?;
        let mask = match self.entry.extras.get(CONCAT_MASK).or(self.noise_mask.map(Tensor::shallow_clone)) {
            Some(mask) => mask.to_kind(Kind::Float),
            None => latent.narrow(1, 0, 1).ones_like(),
        };
        let size = mask.size();
        ensure!(size.len() >= 2, "the inpainting mask is shaped {size:?}, but masks are height x width");
        let mask =
            if size.len() == 4 { mask } else { mask.reshape([-1, 1, size[size.len() - 2], size[size.len() - 1]]) };
        let mask = mask.mean_dim([1i64].as_slice(), true, Kind::Float).to_device(latent.device());
        let mask = fitted(&mask, height * 8, width * 8).reshape([-1, height, 8, width, 8]);
        let by_pixel = mask.permute([0, 2, 4, 1, 3]).reshape([-1, 64, height, width]);
        Ok(spread_over_batch(&by_pixel, batch))
    }

    /// The rounded mask, then the latent of the picture with the masked part greyed: what inpainting networks are shown,
    /// B×(1+C)×h×w.
    ///
    /// The run's own stand in for what the prompt does not bring. Without any mask, all is to be painted over `grey`, the latent of
    /// a grey picture: a value for each channel.
    pub fn masked_latent(&self, grey: &[f32]) -> Result<Tensor> {
        let latent = self.latent;
        let (batch, _, height, width) = latent.size4()?;
        let noise_mask = self.noise_mask.map(|mask| mask.narrow(1, 0, 1));
        let Some(mask) = self.entry.extras.get(CONCAT_MASK).or(noise_mask) else {
            let ones = latent.narrow(1, 0, 1).ones_like();
            let grey = Tensor::from_slice(grey).to_device(latent.device()).view([1, -1, 1, 1]);
            return Ok(Tensor::cat(&[&ones, &(&ones * grey)], 1));
        };
        let size = mask.size();
        ensure!(size.len() >= 2, "the inpainting mask is shaped {size:?}, but masks are height x width");
        let mask = mask.reshape([-1, 1, size[size.len() - 2], size[size.len() - 1]]).to_kind(Kind::Float);
        let mask = spread_over_batch(&fitted(&mask, height, width).round(), batch);
        let shown = match self.entry.extras.get(CONCAT_LATENT) {
            Some(shown) => as_run(&self.latent_format.shown(&shown.to_kind(Kind::Float)), latent)?,
            None => latent.shallow_clone(),
        };
        Ok(Tensor::cat(&[mask.to_device(latent.device()), shown], 1))
    }
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
pub(crate) fn spread_over_batch(tensor: &Tensor, batch: i64) -> Tensor {
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
    use tch::Device;

    use super::*;
    use crate::diffusion::latent_format::SD15;

    fn text() -> Entry {
        Entry::new(Tensor::zeros([1, 1, 1], (Kind::Float, Device::Cpu)))
    }

    fn prompt<'a>(entry: &'a Entry, latent: &'a Tensor, noise_mask: Option<&'a Tensor>) -> RunEntry<'a> {
        RunEntry { entry, list: "positive", latent, noise_mask, latent_format: &SD15, seed: 0 }
    }

    #[test]
    fn channels_of_an_inpainting_checkpoint() {
        let (entry, latent) = (text(), Tensor::ones([2, 4, 8, 8], (Kind::Float, Device::Cpu)));
        let channels = |mask: Option<&Tensor>| {
            prompt(&entry, &latent, mask).masked_latent(&[0.8223, -0.6876, 0.6364, 0.1380]).unwrap()
        };
        let at = |tensor: &Tensor, channel| tensor.double_value(&[1, channel, 3, 3]) as f32;
        let blank = channels(None);
        assert_eq!(blank.size(), [2, 5, 8, 8]);
        assert_eq!([at(&blank, 0), at(&blank, 1), at(&blank, 4)], [1.0, 0.8223, 0.1380]);
        let masked = channels(Some(&latent.full_like(0.4)));
        assert_eq!([at(&masked, 0), at(&masked, 1)], [0.0, 1.0]);
    }

    #[test]
    fn a_shown_latent_is_spread_over_the_batch() {
        let latent = Tensor::ones([5, 4, 4, 4], (Kind::Float, Device::Cpu));
        let channels = |entry: &Entry, scale| prompt(entry, &latent, Some(&latent)).shown_latent(scale);
        let mut entry = text();
        assert_eq!(channels(&entry, Shown::InVaeUnits).unwrap(), latent.zeros_like());
        // Two pictures, twice as wide: the middle is shown.
        let columns = Tensor::from_slice(&[9f32, 9., 1., 1., 1., 1., 9., 9.]).view([1, 1, 1, 8]);
        let pictures = columns * Tensor::from_slice(&[1f32, 2.]).view([2, 1, 1, 1]);
        entry.extras.set(CONCAT_LATENT, pictures.expand([2, 4, 4, 8], false));
        let shown = channels(&entry, Shown::InVaeUnits).unwrap();
        assert_eq!(shown.size(), [5, 4, 4, 4]);
        let first: Vec<f32> = Vec::try_from(shown.select(1, 0).select(1, 0).select(1, 0)).unwrap();
        assert_eq!(first, [1.0, 1.0, 2.0, 2.0, 2.0]);
        assert_eq!(channels(&entry, Shown::InNetworkScale).unwrap(), shown * 0.18215);
        entry.extras.set(CONCAT_LATENT, Tensor::zeros([1, 16, 4, 4], (Kind::Float, Device::Cpu)));
        let message = channels(&entry, Shown::InVaeUnits).unwrap_err().to_string();
        assert!(message.contains("[1, 16, 4, 4]") && message.contains("VAE"), "{message}");
    }
}
