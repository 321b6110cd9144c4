//! Drawings that are held encoded, so that the UNet can train on each more than once.

use anyhow::{Context, Result};
use redraft_nodes::diffusion::latent_format::SD15;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::vae::Vae;
use redraft_nodes::ops::numerics::Numerics;
use tch::{Device, Kind, Tensor};

use crate::data::{LENGTH, Sample, pictures, token_rows};

/// What is held of pictures B×3×H×W in -1…1: B×C×h×w.
pub(crate) type Encode = fn(&Vae, &Tensor) -> Tensor;

/// The means of pictures' latents in the network's scale, B×4×h×w.
pub(crate) fn mean_latents(vae: &Vae, pictures: &Tensor) -> Tensor {
    let [mean, _] = vae.moments(pictures);
    mean * SD15.scale
}

/// Latents of drawings with their captions, on the device; the oldest are replaced by new ones.
pub(crate) struct Pool {
    vae: Vae,
    encode: Encode,
    device: Device,
    capacity: i64,
    /// Latents and captions, once there are any.
    held: Option<(Tensor, Tensor)>,
    filled: i64,
    next: i64,
}

impl Pool {
    /// An empty one for so many drawings, encoded by the autoencoder in a checkpoint.
    pub(crate) fn new(weights: &Weights, numerics: &Numerics, capacity: i64, encode: Encode) -> Result<Self> {
        let vae = Vae::load(&weights.at("first_stage_model"), numerics)?;
        Ok(Self { vae, encode, device: numerics.device, capacity, held: None, filled: 0, next: 0 })
    }

    /// Adds drawings, at most `at_once` at once, until it is full.
    pub(crate) fn fill(
        &mut self,
        at_once: usize,
        size: u32,
        mut take: impl FnMut(usize) -> Result<Vec<Sample>>,
    ) -> Result<()> {
        while self.filled < self.capacity {
            self.add(&take(at_once.min((self.capacity - self.filled) as usize))?, size);
        }
        Ok(())
    }

    /// Adds drawings of `size` pixels; of more than it holds, the last.
    pub(crate) fn add(&mut self, samples: &[Sample], size: u32) {
        let _guard = tch::no_grad_guard();
        let samples = &samples[samples.len().saturating_sub(self.capacity as usize)..];
        let latents = (self.encode)(&self.vae, &pictures(samples, size, self.device));
        let tokens = token_rows(samples.iter().map(|sample| sample.tokens.as_slice()), self.device);
        let (all_latents, all_tokens) = self.held.get_or_insert_with(|| {
            let mut size = latents.size();
            size[0] = self.capacity;
            (
                latents.new_zeros(size, (Kind::Float, self.device)),
                tokens.new_zeros([self.capacity, LENGTH as i64], (Kind::Int64, self.device)),
            )
        });
        let count = samples.len() as i64;
        let places = (Tensor::arange(count, (Kind::Int64, self.device)) + self.next).remainder(self.capacity);
        let _ = all_latents.index_copy_(0, &places, &latents);
        let _ = all_tokens.index_copy_(0, &places, &tokens);
        self.filled = (self.filled + count).min(self.capacity);
        self.next = (self.next + count) % self.capacity;
    }

    /// All latents as the autoencoder gives them.
    ///
    /// # Errors
    /// If there are none.
    pub(crate) fn in_vae_units(&self) -> Result<Tensor> {
        let (latents, _) = self.held()?;
        Ok(latents.narrow(0, 0, self.filled) / SD15.scale)
    }

    /// So many at random: latents and captions.
    ///
    /// # Errors
    /// If there are none.
    pub(crate) fn batch(&self, count: i64) -> Result<(Tensor, Tensor)> {
        let (latents, tokens) = self.held()?;
        let places = Tensor::randint(self.filled, [count], (Kind::Int64, self.device));
        Ok((latents.index_select(0, &places), tokens.index_select(0, &places)))
    }

    fn held(&self) -> Result<&(Tensor, Tensor)> {
        self.held.as_ref().context("no drawings were encoded")
    }
}
