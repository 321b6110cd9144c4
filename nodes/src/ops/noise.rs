//! Random draws. libtorch's generator is process-wide: every draw of this crate goes through here.

use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

static GENERATOR: Mutex<()> = Mutex::new(());

/// Normal noise on the CPU, float32: bit-equal to PyTorch's `randn` after `manual_seed(seed)`. Only the low 32 bits
/// of the seed count.
pub fn randn(seed: u64, shape: &[i64]) -> Tensor {
    let _guard = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed as i64);
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// Draws `skip` to `skip + count - 1` of the sequence that repeated `randn(shape)` gives after `manual_seed(seed)`.
/// The sequence is not one long draw cut up: each draw ends as libtorch ends it. The skipped draws are made again,
/// because libtorch's generator state is out of tch's reach.
pub fn randn_sequence(seed: u64, shape: &[i64], skip: usize, count: usize) -> Vec<Tensor> {
    let _guard = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed as i64);
    let draw = || Tensor::randn(shape, (Kind::Float, Device::Cpu));
    (0..skip).for_each(|_| drop(draw()));
    (0..count).map(|_| draw()).collect()
}
