//! Noise: the initial noise of a run, and the noise that stochastic samplers add in its steps.
//!
//! All noise is drawn on the CPU, whatever the device, so that a seed gives the same picture everywhere. (ComfyUI draws
//! the default noise of samplers on the device of the state, so that its ancestral samplers differ between CPU and
//! GPU.)

use anyhow::{Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use super::brownian::BrownianTree;
use crate::ops::noise::{Stream, randn_sequence};
use crate::values::Latent;

/// A source of the noise that a sampler adds.
pub trait Noise {
    /// Unit normal noise for the step from the level `sigma` to `next`, shaped as the state.
    fn draw(&mut self, sigma: f64, next: f64) -> Result<Tensor>;

    /// The same in another shape B×C×h×w, for a state that a sampler has resized. If the state is channels-last in
    /// memory, so is the noise: ComfyUI draws in the order of memory.
    fn draw_shaped(&mut self, _shape: [i64; 4], _channels_last: bool) -> Result<Tensor> {
        bail!("this sampler changes the state's shape, which its kind of noise cannot follow: give its row another")
    }
}

/// The kinds of noise that samplers ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseKind {
    /// The sampler is deterministic.
    None,
    /// Independent draws from one generator, seeded with seed + 1 (the seed itself made the initial noise).
    Independent,
    /// Increments of one Brownian path over the noise levels. Runs with different numbers of steps share the path.
    Brownian,
    /// Further draws from the generator of the initial noise.
    Continued,
}

/// A source of noise for states shaped like `x`, on the levels `sigmas`. `seed` is the node's seed.
pub fn noise_source(kind: NoiseKind, seed: u64, stream: &Stream, x: &Tensor, sigmas: &[f64]) -> Result<Box<dyn Noise>> {
    Ok(match kind {
        NoiseKind::Continued => Box::new(Continued { stream: stream.clone(), device: x.device() }),
        NoiseKind::None => Box::new(NoNoise),
        NoiseKind::Independent => Box::new(Independent::new(seed.wrapping_add(1), x)),
        NoiseKind::Brownian => Box::new(BrownianTree::new(seed, x, sigmas)?),
    })
}

struct NoNoise;

impl Noise for NoNoise {
    fn draw(&mut self, _: f64, _: f64) -> Result<Tensor> {
        bail!("this sampler is registered as one without noise, but asked for some: give its row a noise kind")
    }
}

/// Draws that follow the initial noise.
struct Continued {
    stream: Stream,
    device: Device,
}

impl Noise for Continued {
    fn draw(&mut self, _: f64, _: f64) -> Result<Tensor> {
        bail!("this kind of noise is drawn in a given shape")
    }

    fn draw_shaped(&mut self, shape: [i64; 4], channels_last: bool) -> Result<Tensor> {
        let drawn = if channels_last { self.stream.normal_channels_last(shape) } else { self.stream.normal(&shape) };
        Ok(drawn.to_device(self.device))
    }
}

/// Successive draws of one generator.
struct Independent {
    seed: u64,
    shape: Vec<i64>,
    device: Device,
    drawn: usize,
    /// Draws that were made ahead, in reverse order.
    ahead: Vec<Tensor>,
}

/// The least number of draws that are made at once. The state of libtorch's generator cannot be saved, so continuing
/// means to repeat all earlier draws. Each time as many draws are made ahead as there were before, so that each is made
/// about twice.
const DRAWS_AHEAD: usize = 16;

impl Independent {
    fn new(seed: u64, x: &Tensor) -> Independent {
        Independent { seed, shape: x.size(), device: x.device(), drawn: 0, ahead: Vec::new() }
    }
}

impl Noise for Independent {
    fn draw(&mut self, _: f64, _: f64) -> Result<Tensor> {
        if self.ahead.is_empty() {
            let total = self.drawn + self.drawn.max(DRAWS_AHEAD);
            self.ahead = randn_sequence(self.seed, &self.shape, total).split_off(self.drawn);
            self.ahead.reverse();
            self.drawn = total;
        }
        match self.ahead.pop() {
            Some(noise) => Ok(noise.to_device(self.device)),
            None => bail!("no noise was drawn"),
        }
    }
}

/// The most values that are drawn to reach the highest batch index (1 GiB).
const MOST_VALUES: i64 = 1 << 28;

/// The noise that sampling a latent starts from: B×C×h×w, float32 on the CPU, one draw for the whole batch. If the
/// latent has batch indices, the noise of one image is drawn after the other, and each image takes that of its index.
/// Images with equal indices share their noise.
pub fn initial_noise(latent: &Latent, shape: &[i64], stream: &mut Stream) -> Result<Tensor> {
    let Some(indices) = &latent.batch_index else {
        return Ok(stream.normal(shape));
    };
    let (Some(&lowest), Some(&highest)) = (indices.iter().min(), indices.iter().max()) else {
        bail!("the latent's batch_index is empty: leave it out, or give one index per image");
    };
    let mut single = shape.to_vec();
    single[0] = 1;
    let most = MOST_VALUES / single.iter().product::<i64>().max(1);
    ensure!(
        lowest >= 0 && highest < most,
        "the latent's batch_index goes from {lowest} to {highest}: for its size indices are from 0 to {}",
        most - 1
    );
    let drawn = stream.normals(&single, highest as usize + 1);
    let chosen: Vec<&Tensor> = indices.iter().map(|&index| &drawn[index as usize]).collect();
    Ok(Tensor::cat(&chosen, 0))
}

/// Zeros, float32 on the CPU: the initial noise for a latent that already has noise.
pub fn no_noise(shape: &[i64]) -> Tensor {
    Tensor::zeros(shape, (Kind::Float, Device::Cpu))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ops::noise::randn;

    fn initial_noise(latent: &Latent, shape: &[i64], seed: u64) -> Result<Tensor> {
        super::initial_noise(latent, shape, &mut Stream::seeded(seed))
    }

    fn latent(batch: i64, indices: Option<Vec<i64>>) -> Latent {
        Latent { batch_index: indices, ..Latent::new(Tensor::zeros([batch, 4, 8, 8], (Kind::Float, Device::Cpu))) }
    }

    #[test]
    fn one_latent_gets_the_seeds_noise() {
        let noise = initial_noise(&latent(1, None), &[1, 4, 64, 64], 42).unwrap();
        assert_eq!(noise, randn(42, &[1, 4, 64, 64]));
    }

    #[test]
    fn only_the_low_32_bits_of_the_seed_count() {
        let draw = |seed| initial_noise(&latent(1, None), &[1, 4, 8, 8], seed).unwrap();
        assert_eq!(draw(7), draw(7 + (1 << 32)));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn batch_indices_pick_from_one_sequence() {
        let shape = [2, 4, 8, 8];
        let batch = initial_noise(&latent(2, None), &shape, 3).unwrap();
        let same = initial_noise(&latent(2, Some(vec![1, 1])), &shape, 3).unwrap();
        assert_eq!(same.narrow(0, 0, 1), batch.narrow(0, 1, 1));
        assert_eq!(same.narrow(0, 1, 1), batch.narrow(0, 1, 1));
        let swapped = initial_noise(&latent(2, Some(vec![1, 0])), &shape, 3).unwrap();
        assert_eq!(swapped, batch.flip([0]));
    }

    #[test]
    fn batch_indices_out_of_range_are_refused() {
        for indices in [vec![], vec![-1], vec![1 << 40]] {
            assert!(initial_noise(&latent(1, Some(indices)), &[1, 4, 8, 8], 0).is_err());
        }
    }

    #[test]
    fn independent_draws_continue_one_generator() {
        let x = Tensor::zeros([1, 4, 8, 8], (Kind::Float, Device::Cpu));
        let mut source = noise_source(NoiseKind::Independent, 41, &Stream::seeded(41), &x, &[]).unwrap();
        let drawn: Vec<Tensor> = (0..40).map(|_| source.draw(1.0, 0.5).unwrap()).collect();
        let expected = randn(42, &[40, 4, 8, 8]);
        for (k, noise) in drawn.iter().enumerate() {
            assert_eq!(*noise, expected.narrow(0, k as i64, 1));
        }
    }
}
