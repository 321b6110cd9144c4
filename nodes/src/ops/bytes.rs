//! Pictures in eight bits a channel, as ComfyUI passes them to Pillow.

use anyhow::{Context, Result};
use redraft_engine::memory;
use tch::{Device, Kind, Tensor};

/// Values times 255, clipped to 0 … 255 and truncated to whole numbers, in the order of the tensor. NaN becomes 0.
///
/// # Errors
/// If there is no memory for them.
pub fn eight_bits(image: &Tensor) -> Result<Vec<u8>> {
    /// Values that are in memory as floats at once.
    const AT_ONCE: usize = 1 << 20;
    let flat = image.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1);
    memory::ask(flat.numel(), "the picture in eight bits")?;
    let mut bytes = Vec::with_capacity(flat.numel());
    let mut floats = vec![0.0_f32; flat.numel().min(AT_ONCE)];
    while bytes.len() < flat.numel() {
        let count = (flat.numel() - bytes.len()).min(AT_ONCE);
        let part = flat.narrow(0, i64::try_from(bytes.len())?, i64::try_from(count)?);
        part.f_copy_data(&mut floats[..count], count).context("cannot read the picture's values: this is a bug")?;
        bytes.extend(floats[..count].iter().map(|value| (255.0 * value).clamp(0.0, 255.0) as u8));
    }
    Ok(bytes)
}

/// Bytes as floats from 0 to 1, in `shape`.
pub fn unit_floats(bytes: &[u8], shape: &[i64]) -> Tensor {
    Tensor::from_slice(bytes).view(shape).to_kind(Kind::Float) / 255.0
}
