//! Cache keys: what a node's outputs depend on, and nothing else.

use std::fmt;

/// The identity of a node's outputs. Equal keys stand for equal outputs; ids, titles, the order of inputs and `8` for `8.0`
/// make no difference.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash itself, under which a store may keep the outputs.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", blake3::Hash::from(self.0).to_hex().get(..12).unwrap_or_default())
    }
}

/// Tells what a call of a node makes from what any other makes; see [`Cx::identity`](crate::cx::Cx::identity).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity(pub(crate) Key, pub(crate) usize);
