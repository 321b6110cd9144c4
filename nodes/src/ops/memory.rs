//! How much memory there is.

use tch::Device;

use super::cuda;

/// Bytes of memory of the machine (of the container, if that has less), or of the GPU.
pub fn total(device: Device) -> u64 {
    match device {
        Device::Cuda(index) => cuda::memory(index).unwrap_or(0),
        _ => {
            let mut system = sysinfo::System::new();
            system.refresh_memory_specifics(sysinfo::MemoryRefreshKind::nothing().with_ram());
            let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
            system.total_memory().min(limit)
        }
    }
}
