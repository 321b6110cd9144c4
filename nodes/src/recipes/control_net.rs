//! CONTROL_NET: a network that steers a model.

use std::fmt;

use anyhow::Result;

use crate::files::weights::Weights;
use crate::models::control::{ControlFile, Kind};

/// A recipe: the network is built when a model is sampled under it. A clone shares the file.
#[derive(Clone)]
pub struct ControlNet {
    /// The network.
    pub file: ControlFile,
    /// What the pictures show, for networks that know several kinds; none: they are not told.
    pub types: Vec<i64>,
    /// Whether each channel of its output is replaced by its mean; of ControlNets of a UNet alone.
    pub pooled: bool,
}

impl ControlNet {
    /// The network in a file. Of a UNet's that was trained on shuffled pictures, as the file's name tells, the output is averaged.
    ///
    /// # Errors
    /// If the file holds none: what it is instead, and what to do with it.
    pub fn open(weights: &Weights) -> Result<ControlNet> {
        let stem = weights.path().file_stem().unwrap_or_default().to_string_lossy();
        let shuffled = stem.ends_with("_shuffle") || stem.ends_with("_shuffle_fp16");
        let file = ControlFile::recognise(weights)?;
        let pooled = shuffled && matches!(file.kind, Kind::UNet | Kind::Difference);
        Ok(ControlNet { file, types: Vec::new(), pooled })
    }
}

impl fmt::Debug for ControlNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.file.kind, self.file.weights.path().display())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models::random::{Layout, Size, Steering, write_random_checkpoint};

    #[test]
    fn networks_of_a_unet_that_shuffle_are_pooled_and_adapters_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let cases = [
            ("a_shuffle", Steering::Sd1, true),
            ("b_shuffle_fp16", Steering::Sd1Difference, true),
            ("shuffle", Steering::Sd1, false),
            ("c_shuffle", Steering::AdapterLight, false),
            ("d_shuffle", Steering::LoraSd1, false),
        ];
        for (name, steering, pooled) in cases {
            let path = directory.path().join(format!("{name}.safetensors"));
            write_random_checkpoint(&path, Layout::Steering(steering), Size::Tiny, 9, true).unwrap();
            assert_eq!(ControlNet::open(&Weights::open(&path).unwrap()).unwrap().pooled, pooled, "{name}");
        }
    }
}
