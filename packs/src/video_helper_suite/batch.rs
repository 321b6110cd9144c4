//! What pictures, masks and latents have in common: they are batches.

use anyhow::Result;
use redraft_engine::memory;
use redraft_nodes::values::{Image, Latent, Mask};
use tch::Tensor;

/// A batch of some kind.
pub(super) trait Batch: Sized {
    /// The same of each of its tensors that has an entry for each of the batch.
    fn map(&self, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self>;

    /// The tensor that says how many there are.
    fn tensor(&self) -> &Tensor;

    fn count(&self) -> i64 {
        self.tensor().size().first().copied().unwrap_or(0)
    }

    /// Those from one number to another, as Python counts: from the end if it is negative, and never beyond either end.
    fn part(&self, start: i64, end: Option<i64>, step: i64) -> Result<Self> {
        let count = self.count();
        let place = |number: i64| (if number < 0 { count.saturating_add(number) } else { number }).clamp(0, count);
        let (start, end) = (place(start), end.map_or(count, place));
        self.map(|tensor| Ok(tensor.slice(0, start, Some(end.max(start)), step)))
    }

    /// The whole so many times.
    fn repeated(&self, times: i64) -> Result<Self> {
        self.map(|tensor| {
            let bytes = tensor.numel().saturating_mul(4).saturating_mul(usize::try_from(times)?);
            memory::ask(bytes, "the repeated batch")?;
            Ok(Tensor::cat(&vec![tensor; usize::try_from(times)?], 0))
        })
    }

    /// Those of the numbers, all of which are there.
    fn chosen(&self, numbers: &[i64]) -> Result<Self> {
        let numbers = Tensor::from_slice(numbers);
        self.map(|tensor| {
            let each = tensor.numel().checked_div(tensor.size().first().map_or(1, |count| (*count).max(1) as usize));
            memory::ask(each.unwrap_or(0).saturating_mul(4).saturating_mul(numbers.numel()), "the selected batch")?;
            Ok(tensor.index_select(0, &numbers))
        })
    }
}

impl Batch for Image {
    fn map(&self, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        change(&self.0).map(Self)
    }

    fn tensor(&self) -> &Tensor {
        &self.0
    }
}

impl Batch for Mask {
    fn map(&self, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        change(&self.0).map(Self)
    }

    fn tensor(&self) -> &Tensor {
        &self.0
    }
}

/// A mask for all latents stays as it is.
impl Batch for Latent {
    fn map(&self, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let count = self.count();
        let mask = self.noise_mask.as_ref().map(|mask| match mask.size().first() {
            Some(masks) if *masks == count => change(mask),
            _ => Ok(mask.shallow_clone()),
        });
        let (samples, noise_mask) = (change(&self.samples)?, mask.transpose()?);
        Ok(Self { noise_mask, ..self.with_samples(samples) })
    }

    fn tensor(&self) -> &Tensor {
        &self.samples
    }
}
