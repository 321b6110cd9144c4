//! Pictures in eight bits a channel, as ComfyUI passes them to Pillow.

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

/// Values times 255, clipped to 0 … 255 and truncated to whole numbers, in the order of the tensor. NaN becomes 0.
///
/// # Errors
/// If the values cannot be read.
pub fn eight_bits(image: &Tensor) -> Result<Vec<u8>> {
    let flat = image.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1);
    let floats: Vec<f32> = Vec::try_from(&flat).context("cannot read the picture's values: this is a bug")?;
    Ok(floats.into_iter().map(|value| (255.0 * value).clamp(0.0, 255.0) as u8).collect())
}

/// Bytes as floats from 0 to 1, in `shape`.
pub fn unit_floats(bytes: &[u8], shape: &[i64]) -> Tensor {
    Tensor::from_slice(bytes).view(shape).to_kind(Kind::Float) / 255.0
}
