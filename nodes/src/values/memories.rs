//! What guidance remembers between sampling runs; it travels with the latent.

use std::rc::Rc;

use redraft_engine::cx::Identity;
use tch::Tensor;

/// What the hook of a node's call remembers of a run: the last sigma, and a tensor carried on from it.
#[derive(Debug)]
pub struct Memory {
    pub sigma: f64,
    pub carried: Tensor,
}

/// The memories of the runs that a latent came from. A run that goes on from the latent takes them up, whatever else has run
/// in between.
#[derive(Debug, Clone, Default)]
pub struct Memories(Vec<(Identity, Rc<Memory>)>);

impl Memories {
    /// What the hook of a node's call remembers.
    pub fn of(&self, identity: Identity) -> Option<&Rc<Memory>> {
        self.0.iter().find(|(of, _)| *of == identity).map(|(_, memory)| memory)
    }

    /// The same with those of another run, which replace older ones of the same calls.
    pub fn with(&self, newer: impl IntoIterator<Item = (Identity, Rc<Memory>)>) -> Memories {
        let mut memories = self.clone();
        for (identity, memory) in newer {
            memories.0.retain(|(of, _)| *of != identity);
            memories.0.push((identity, memory));
        }
        memories
    }
}
