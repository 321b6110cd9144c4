//! Seeded Gaussian noise, bit-equal to PyTorch's CPU generator.

use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

/// libtorch's CPU generator is one per process: seeding it and drawing from it must not be interleaved.
static GENERATOR: Mutex<()> = Mutex::new(());

/// Draws standard normal noise of `shape` on the CPU in float32, from a generator freshly seeded with `seed`.
///
/// Equal, bit for bit, to `torch.manual_seed(seed); torch.randn(shape)`. The generator (MT19937) looks at the low 32 bits
/// of the seed only, so `seed` and `seed + 2^32` give the same noise. A shape without elements gives an empty tensor.
pub fn randn(seed: u64, shape: &[i64]) -> Tensor {
    // A panic under the lock does no harm, because each draw seeds the generator again.
    let _drawing = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed.cast_signed());
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// Draws several tensors from one generator. The first equals that of [`randn`], and each further one continues.
///
/// Samplers that add noise in every step use their generator in this way.
pub fn randn_sequence(seed: u64, shape: &[i64], count: usize) -> Vec<Tensor> {
    let _drawing = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed.cast_signed());
    (0..count).map(|_| Tensor::randn(shape, (Kind::Float, Device::Cpu))).collect()
}

/// Draws random permutations of the given lengths from one generator, as `torch.randperm` does: int64 on the CPU.
pub fn permutations(seed: u64, lengths: &[i64]) -> Vec<Tensor> {
    let _drawing = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed.cast_signed());
    lengths.iter().map(|length| Tensor::randperm(*length, (Kind::Int64, Device::Cpu))).collect()
}

/// A stream of random numbers, as libtorch's process-wide CPU generator gives them after seeding.
///
/// The state of that generator cannot be saved, so each draw repeats all earlier ones. This is fast enough for a few
/// draws.
#[derive(Debug, Clone)]
pub struct Stream {
    seed: u64,
    drawn: Vec<Draw>,
}

#[derive(Debug, Clone)]
enum Draw {
    Normal(Vec<i64>, usize),
    ChannelsLast([i64; 4]),
    Below(i64, Vec<i64>),
}

impl Draw {
    fn make(&self) -> Vec<Tensor> {
        match self {
            Draw::Normal(shape, count) => {
                (0..*count).map(|_| Tensor::randn(shape.as_slice(), (Kind::Float, Device::Cpu))).collect()
            }
            Draw::ChannelsLast([batch, channels, height, width]) => {
                let values = Tensor::empty([*batch, *height, *width, *channels], (Kind::Float, Device::Cpu));
                vec![values.permute([0, 3, 1, 2]).normal_(0.0, 1.0)]
            }
            Draw::Below(limit, shape) => vec![Tensor::randint(*limit, shape.as_slice(), (Kind::Int64, Device::Cpu))],
        }
    }
}

impl Stream {
    /// The generator after `torch.manual_seed(seed)`.
    pub fn seeded(seed: u64) -> Stream {
        Stream { seed, drawn: Vec::new() }
    }

    /// The next standard normal values, float32: the first time what [`randn`] gives.
    pub fn normal(&mut self, shape: &[i64]) -> Tensor {
        self.next(Draw::Normal(shape.to_vec(), 1)).swap_remove(0)
    }

    /// The next `count` tensors of standard normal values: what [`randn_sequence`] gives.
    pub fn normals(&mut self, shape: &[i64], count: usize) -> Vec<Tensor> {
        self.next(Draw::Normal(shape.to_vec(), count))
    }

    /// The next standard normal values for a B×C×H×W tensor that is channels-last in memory. They are drawn one by one
    /// in the order of memory, and so differ from those of [`Stream::normal`].
    pub fn normal_channels_last(&mut self, shape: [i64; 4]) -> Tensor {
        self.next(Draw::ChannelsLast(shape)).swap_remove(0)
    }

    /// The next whole numbers from 0 to below `limit`, int64.
    pub fn below(&mut self, limit: i64, shape: &[i64]) -> Tensor {
        self.next(Draw::Below(limit, shape.to_vec())).swap_remove(0)
    }

    fn next(&mut self, draw: Draw) -> Vec<Tensor> {
        let _drawing = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        tch::manual_seed(self.seed.cast_signed());
        self.drawn.iter().for_each(|draw| drop(draw.make()));
        let next = draw.make();
        self.drawn.push(draw);
        next
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn first(t: &Tensor, n: usize) -> Vec<f32> {
        let flat: Vec<f32> = t.flatten(0, -1).try_into().unwrap();
        flat[..n].to_vec()
    }

    /// Asserts equality within 2e-6. Noise is a radius below 6 times the cosine or sine of an angle up to 2π, which
    /// float32 rounds by up to 2.4e-7. libtorch's kernels for different CPUs round angle, logarithm and cosine
    /// differently.
    #[track_caller]
    fn near(found: &[f32], expected: &[f32]) {
        let same = |(found, expected): (&f32, &f32)| (found - expected).abs() <= 2e-6;
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(same), "{found:?}, not {expected:?}");
    }

    #[test]
    fn seed_42_gives_the_published_figures() {
        let noise = randn(42, &[1, 4, 64, 64]);
        near(&first(&noise, 5), &[1.926_915_3, 1.487_284_1, 0.900_717_2, -2.105_521, 0.678_418_46]);
    }

    #[test]
    fn only_the_low_32_bits_of_the_seed_count() {
        for seed in [0, 42, u64::from(u32::MAX)] {
            assert_eq!(randn(seed, &[2, 5]), randn(seed.wrapping_add(1 << 32), &[2, 5]));
        }
        assert_eq!(randn(u64::MAX, &[20]), randn(0xffff_ffff, &[20]));
        assert_ne!(randn(1, &[20]), randn(2, &[20]));
    }

    #[test]
    fn a_batch_continues_the_stream_of_the_single_image() {
        let single = randn(7, &[1, 4, 8, 8]);
        let batch = randn(7, &[3, 4, 8, 8]);
        assert_eq!(batch.narrow(0, 0, 1), single);
        let sequence = randn_sequence(7, &[1, 4, 8, 8], 3);
        assert_eq!(Tensor::cat(&sequence, 0), batch);
    }

    #[test]
    fn a_stream_goes_on_where_it_stopped() {
        let mut stream = Stream::seeded(7);
        assert_eq!(stream.normal(&[1, 4, 8, 8]), randn(7, &[1, 4, 8, 8]));
        // PyTorch 2.11: manual_seed(7); randn(1, 4, 8, 8); randint(4, (6,)); randn(2, 3)
        let whole: Vec<i64> = stream.below(4, &[6]).try_into().unwrap();
        let _ = randn(1, &[100]);
        let then = stream.normal(&[2, 3]);
        assert_eq!(whole, [1, 1, 3, 1, 3, 2]);
        near(&first(&then, 3), &[-0.106_241_42, 0.011_055_24, -0.730_081_14]);
    }

    #[test]
    fn channels_last_noise_is_torchs() {
        // PyTorch 2.11: manual_seed(7); randn_like(empty(2, 4, 3, 5, memory_format=channels_last))
        let noise = Stream::seeded(7).normal_channels_last([2, 4, 3, 5]);
        assert_eq!(noise.size(), [2, 4, 3, 5]);
        near(&first(&noise, 3), &[-0.146_795_1, 1.690_790_2, 0.138_172_66]);
    }

    #[test]
    fn threads_do_not_disturb_each_other() {
        let expected: Vec<Tensor> = (0..4).map(|seed| randn(seed, &[64])).collect();
        let drawn: Vec<_> = (0..4).map(|seed| std::thread::spawn(move || randn(seed, &[64]))).collect();
        for (thread, expected) in drawn.into_iter().zip(expected) {
            assert_eq!(thread.join().unwrap(), expected);
        }
    }
}
