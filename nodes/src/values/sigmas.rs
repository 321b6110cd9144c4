//! SIGMAS: the noise levels that a sampler visits.

/// The noise levels of a sampling run, one more than it has steps, usually descending and ending in 0. An empty list
/// means that nothing is sampled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sigmas(pub Vec<f32>);

impl Sigmas {
    /// The number of steps: one less than the number of levels.
    pub fn steps(&self) -> usize {
        self.0.len().saturating_sub(1)
    }
}
