//! What a prompt carries for a GLIGEN model: things, and where in the picture they are to be.

use std::fmt;

use tch::Tensor;

use crate::recipes::Gligen;

/// Things in places, and the network that tells a model of them.
pub struct Grounding {
    /// The network.
    pub net: Gligen,
    /// The things, first ones first.
    pub boxes: Vec<Place>,
}

/// A thing in a place.
#[derive(Debug)]
pub struct Place {
    /// What it is: a text's pooled vector, 1×W.
    pub text: Tensor,
    /// Where it is, in latent units (pixels / 8).
    pub height: i64,
    pub width: i64,
    pub y: i64,
    pub x: i64,
}

impl Clone for Place {
    fn clone(&self) -> Place {
        Place { text: self.text.shallow_clone(), ..*self }
    }
}

impl fmt::Debug for Grounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} things by {}", self.boxes.len(), self.net.weights.path().display())
    }
}
