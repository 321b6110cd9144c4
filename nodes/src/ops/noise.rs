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
    // A panic while the lock was held leaves nothing behind that the next draw would see: it seeds again.
    let _drawing = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed.cast_signed());
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// Draws several tensors from one stream: the first as [`randn`] would, each further one where the last one stopped.
///
/// This is how samplers that ask for noise at every step use their generator.
pub fn randn_sequence(seed: u64, shape: &[i64], count: usize) -> Vec<Tensor> {
    let _drawing = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed.cast_signed());
    (0..count).map(|_| Tensor::randn(shape, (Kind::Float, Device::Cpu))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn first(t: &Tensor, n: usize) -> Vec<f32> {
        let flat: Vec<f32> = t.flatten(0, -1).try_into().unwrap();
        flat[..n].to_vec()
    }

    #[test]
    fn seed_42_gives_the_published_figures() {
        let noise = randn(42, &[1, 4, 64, 64]);
        assert_eq!(first(&noise, 5), [1.926_915_3, 1.487_284_1, 0.900_717_2, -2.105_521, 0.678_418_46]);
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
    fn threads_do_not_disturb_each_other() {
        let expected: Vec<Tensor> = (0..4).map(|seed| randn(seed, &[64])).collect();
        let drawn: Vec<_> = (0..4).map(|seed| std::thread::spawn(move || randn(seed, &[64]))).collect();
        for (thread, expected) in drawn.into_iter().zip(expected) {
            assert_eq!(thread.join().unwrap(), expected);
        }
    }
}
