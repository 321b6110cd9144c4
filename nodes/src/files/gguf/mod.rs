//! GGUF files: weights in blocks, and what a file says of itself.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little-endian.

mod blocks;
mod header;
mod packed;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use blocks::BlockKind;
pub use header::Header;
pub(super) use header::{Place, Stored};
pub use packed::Packed;
pub use text::text_encoder;

/// What such a file begins with.
pub(super) const MAGIC: &[u8] = b"GGUF";
