//! What guidance remembers between sampling runs; it travels with the latent.

use std::rc::Rc;

use redraft_engine::codec::{Data, Decoder, Encoder, Malformed};
use redraft_engine::cx::Identity;
use tch::Tensor;

use super::codec::TensorPart;

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

impl Data for Memories {
    fn encode(&self, to: &mut Encoder<'_>) {
        let (identities, memories): (Vec<Identity>, Vec<Rc<Memory>>) = self.0.iter().cloned().unzip();
        to.field("of", &identities);
        for (place, memory) in memories.iter().enumerate() {
            let mut to = to.at(&place.to_string());
            to.field("sigma", &memory.sigma);
            to.field("carried", &TensorPart::of(&memory.carried));
        }
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let identities = from.field::<Vec<Identity>>("of")?;
        let memory = |(place, identity): (usize, Identity)| {
            let mut from = from.at(&place.to_string());
            let (sigma, TensorPart(carried)) = (from.field("sigma")?, from.field("carried")?);
            Ok((identity, Rc::new(Memory { sigma, carried })))
        };
        identities.into_iter().enumerate().map(memory).collect::<Result<_, _>>().map(Self)
    }
}
