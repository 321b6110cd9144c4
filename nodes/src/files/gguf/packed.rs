//! A matrix that stays in blocks until it is used.

use tch::{Device, Kind, Tensor};

use super::BlockKind;

/// A tensor in blocks, where its numbers are computed with.
#[derive(Debug)]
pub struct Packed {
    bytes: Tensor,
    format: &'static BlockKind,
    shape: Vec<i64>,
}

impl Packed {
    /// `bytes` of any shape hold the blocks of a tensor of this shape.
    pub(in super::super) fn new(bytes: Tensor, format: &'static BlockKind, shape: &[i64]) -> Self {
        Self { bytes, format, shape: shape.to_vec() }
    }

    /// Its shape.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Where it lies.
    pub fn device(&self) -> Device {
        self.bytes.device()
    }

    /// Its numbers as elements of `kind`, a float. They are computed in float16, as ComfyUI-GGUF does.
    pub fn numbers(&self, kind: Kind) -> Tensor {
        self.format.unpack(&self.bytes, Kind::Half).to_kind(kind).view(self.shape.as_slice())
    }
}
