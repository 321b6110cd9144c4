//! What a denoising network offers.

use anyhow::Result;
use tch::{Device, Tensor};

use super::latent_format::LatentFormat;
use super::patch::Call;

/// A denoising network, without guidance.
pub trait Network {
    /// The network's raw output, B×4×h×w.
    ///
    /// `x` is B×C×h×w and already scaled to unit variance (C is 4 and the channels of [`Network::beside`]),
    /// `timestep` is B values, float32, `context` is B×T×W. All are on [`Network::device`].
    /// The call says what is changed inside of it.
    fn predict(&self, x: &Tensor, timestep: &Tensor, context: &Tensor, call: &Call) -> Result<Tensor>;

    /// Where the network computes.
    fn device(&self) -> Device {
        Device::Cpu
    }

    /// The latent space that it was trained in.
    fn latent_format(&self) -> LatentFormat {
        LatentFormat::SD15
    }

    /// What it takes beside the state, in input channels of its own.
    fn beside(&self) -> Option<Beside> {
        None
    }
}

/// What a network is shown beside the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// A mask and a latent without the masked part, as inpainting checkpoints take them.
    MaskAndLatent,
    /// A latent, as InstructPix2Pix takes it.
    Latent,
}

impl Beside {
    /// How many channels it has.
    pub fn channels(self) -> i64 {
        match self {
            Beside::MaskAndLatent => 5,
            Beside::Latent => 4,
        }
    }
}
