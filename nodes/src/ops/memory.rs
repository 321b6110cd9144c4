//! How much memory there is.

use redraft_engine::memory;
use tch::Device;

use super::cuda;

/// Bytes of memory of the machine (of the container, or below the ceiling, if that is less), or of the GPU.
pub fn total(device: Device) -> u64 {
    match device {
        Device::Cuda(index) => cuda::memory(index).unwrap_or(0),
        _ => memory::total().min(memory::ceiling()),
    }
}
