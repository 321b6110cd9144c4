//! From a prompt text to conditioning tensors: weights, tokens, embeddings, chunks, the encoder's input and output.
//!
//! [`TextEncoder`] is the way in. The steps in between are public because other nodes need some of them alone: the
//! pickle reader also serves torch checkpoints, and a cache key needs [`referenced_embeddings`].

mod character_map;
pub mod chunks;
mod clip_vocabulary;
mod embedding_file;
pub mod embeddings;
pub mod encode;
pub mod language;
pub mod llama;
mod merged_pairs;
mod messages;
pub mod prompt_weights;
pub mod sentence_pieces;
pub mod t5;
pub mod tokenizer;
pub(crate) mod users_vocabulary;
pub(crate) mod vocabularies;

pub use chunks::{CHUNK_LENGTH, Chunk, Token, chunks, missing_embeddings, referenced_embeddings};
pub use embeddings::EmbeddingFiles;
pub use encode::{Encoded, TextEncoder};
pub use prompt_weights::{Segment, parse_weights};
pub use tokenizer::tokenize;
