//! Pictures in eight bits a channel, as ComfyUI passes them to Pillow.

use anyhow::{Context, Result};
use redraft_engine::memory;
use tch::{Device, Kind, Tensor};

/// Values times 255, clipped to 0 … 255 and truncated to whole numbers, in the order of the tensor. NaN becomes 0.
///
/// # Errors
/// If there is no memory for them.
pub fn eight_bits(image: &Tensor) -> Result<Vec<u8>> {
    in_bytes(image, 1, |value, bytes| bytes.push((255.0 * value).clamp(0.0, 255.0) as u8))
}

/// A tensor's values, 0 to 1, in 16 bits each, the high byte first: clipped and cut off, not rounded.
///
/// # Errors
/// If there is too little memory.
pub fn sixteen_bits(image: &Tensor) -> Result<Vec<u8>> {
    in_bytes(image, 2, |value, bytes| {
        bytes.extend(((65535.0 * value).clamp(0.0, 65535.0) as u16).to_be_bytes());
    })
}

/// A tensor's values, 0 to 1, in 8 bits each, rounded to the nearest. NaN becomes 0.
///
/// # Errors
/// If there is too little memory.
pub fn rounded_eight_bits(image: &Tensor) -> Result<Vec<u8>> {
    in_bytes(image, 1, |value, bytes| bytes.push((255.0 * value + 0.5).clamp(0.0, 255.0) as u8))
}

/// A tensor's values, 0 to 1, in 16 bits each, the low byte first, rounded to the nearest. NaN becomes 0.
///
/// # Errors
/// If there is too little memory.
pub fn rounded_sixteen_bits(image: &Tensor) -> Result<Vec<u8>> {
    in_bytes(image, 2, |value, bytes| {
        bytes.extend(((65535.0 * value + 0.5).clamp(0.0, 65535.0) as u16).to_le_bytes());
    })
}

/// Each value of a tensor in so many bytes.
fn in_bytes(image: &Tensor, width: usize, write: impl Fn(f32, &mut Vec<u8>)) -> Result<Vec<u8>> {
    /// Values that are in memory as floats at once.
    const AT_ONCE: usize = 1 << 20;
    let flat = image.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1);
    let values = flat.numel();
    memory::ask(values.saturating_mul(width), "the picture in bytes")?;
    let mut bytes = Vec::with_capacity(values.saturating_mul(width));
    let mut floats = vec![0.0_f32; values.min(AT_ONCE)];
    for start in (0..values).step_by(AT_ONCE) {
        let count = (values - start).min(AT_ONCE);
        let part = flat.narrow(0, i64::try_from(start)?, i64::try_from(count)?);
        part.f_copy_data(&mut floats[..count], count).context("cannot read the picture's values: this is a bug")?;
        floats[..count].iter().for_each(|value| write(*value, &mut bytes));
    }
    Ok(bytes)
}

/// Bytes as floats from 0 to 1, in `shape`.
pub fn unit_floats(bytes: &[u8], shape: &[i64]) -> Tensor {
    Tensor::from_slice(bytes).view(shape).to_kind(Kind::Float) / 255.0
}
