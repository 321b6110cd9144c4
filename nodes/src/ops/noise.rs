//! Random draws. libtorch's generator is process-wide: every draw of this crate goes through here.

use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

static GENERATOR: Mutex<()> = Mutex::new(());

/// Normal noise on the CPU, float32: bit-equal to PyTorch's `randn` after `manual_seed(seed)`. Only the low 32 bits
/// of the seed count.
pub fn randn(seed: u64, shape: &[i64]) -> Tensor {
    let _guard = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed.cast_signed());
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// Several draws from one stream: the first as [`randn`] makes it, each further one where the last one stopped.
pub fn randn_sequence(seed: u64, shape: &[i64], count: usize) -> Vec<Tensor> {
    let _guard = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed.cast_signed());
    (0..count).map(|_| Tensor::randn(shape, (Kind::Float, Device::Cpu))).collect()
}
