//! Feed-forward layers with a gate (SwiGLU, Shazeer 2020, arXiv:2002.05202).

use anyhow::Result;
use tch::Tensor;

use super::layers::Linear;
use crate::files::weights::Weights;

/// down(SiLU(gate(x))·up(x)) over the last dimension.
pub struct GatedFeed {
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl GatedFeed {
    /// Reads the layers of these names, in the order gate, up, down, for states of `width`. Their inner width is read off the gate.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape than its neighbours call for.
    pub fn load(w: &Weights, [gate, up, down]: [&str; 3], width: i64) -> Result<Self> {
        let hidden = w.dim(&format!("{gate}.weight"), 0)?;
        Ok(Self {
            gate: Linear::load(&w.at(gate), width, hidden)?,
            up: Linear::load(&w.at(up), width, hidden)?,
            down: Linear::load(&w.at(down), hidden, width)?,
        })
    }

    /// A tensor of shape …×width.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.down.forward(&(self.gate.forward(x).silu() * self.up.forward(x)))
    }
}
