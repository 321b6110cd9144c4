//! How much memory there is, and tensors that are made once it is there.

use redraft_engine::error::OutOfMemory;
use redraft_engine::memory;
use tch::{Device, Kind, Tensor};

use super::cuda;

/// Bytes of memory of the machine (of the container, or below the ceiling, if that is less), or of the GPU.
pub fn total(device: Device) -> u64 {
    match device {
        Device::Cuda(index) => cuda::memory(index).unwrap_or(0),
        _ => memory::total().min(memory::ceiling()),
    }
}

/// A tensor of a number throughout, float32 on the CPU, called `what` in messages.
///
/// # Errors
/// Those of [`memory::ask`].
pub fn filled(size: &[i64], number: f64, what: &str) -> Result<Tensor, OutOfMemory> {
    memory::ask(memory::product(size, 4), what)?;
    Ok(Tensor::full(size, number, (Kind::Float, Device::Cpu)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn memory_is_asked_for_before_it_is_filled() {
        let grey = filled(&[2, 3], 0.5, "the picture").unwrap();
        assert_eq!((grey.size(), grey.sum(Kind::Float).double_value(&[])), (vec![2, 3], 3.0));
        let message = filled(&[1 << 40, 1 << 40], 0.0, "the picture").unwrap_err().to_string();
        assert!(message.contains("the picture needs"), "{message}");
    }
}
