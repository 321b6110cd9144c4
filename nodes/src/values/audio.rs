//! AUDIO: recordings.

use anyhow::{Result, bail};
use tch::Tensor;

/// A batch of recordings of equal length. A clone shares the tensor.
#[derive(Debug)]
pub struct Audio {
    /// B×C×T: recordings, channels, samples; float32 on the CPU, -1 to 1.
    pub waveform: Tensor,
    /// Samples per second, at least 1.
    pub sample_rate: i64,
}

impl Audio {
    /// Recordings, channels, samples.
    ///
    /// # Errors
    /// If the waveform has other dimensions.
    pub fn size(&self) -> Result<[i64; 3]> {
        match self.waveform.size()[..] {
            [batch, channels, samples] => Ok([batch, channels, samples]),
            _ => bail!("sound of shape {:?} is not batch × channels × samples", self.waveform.size()),
        }
    }
}

impl Clone for Audio {
    fn clone(&self) -> Audio {
        Audio { waveform: self.waveform.shallow_clone(), sample_rate: self.sample_rate }
    }
}
