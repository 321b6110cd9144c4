//! CONTROL_NET: a network that steers a model.

use std::fmt;

use anyhow::Result;

use crate::files::weights::Weights;
use crate::models::control::ControlFile;

/// A recipe: the network is built when a model is sampled under it. A clone shares the file.
#[derive(Clone)]
pub struct ControlNet {
    /// The network.
    pub file: ControlFile,
    /// What the pictures show, for networks that know several kinds; none: they are not told.
    pub types: Vec<i64>,
    /// Whether each channel of its output is replaced by its mean.
    pub pooled: bool,
}

impl ControlNet {
    /// The network in a file. Of one that was trained on shuffled pictures, as its name tells, the output is averaged.
    ///
    /// # Errors
    /// If the file holds none: what it is instead, and what to do with it.
    pub fn open(weights: &Weights) -> Result<ControlNet> {
        let stem = weights.path().file_stem().unwrap_or_default().to_string_lossy();
        let pooled = stem.ends_with("_shuffle") || stem.ends_with("_shuffle_fp16");
        Ok(ControlNet { file: ControlFile::recognise(weights)?, types: Vec::new(), pooled })
    }
}

impl fmt::Debug for ControlNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.file.kind, self.file.weights.path().display())
    }
}
