//! Files of weights: safetensors, GGUF, torch's archives, and a reader of pickles that builds tensors and nothing else.

pub mod delta;
pub mod gathered;
pub mod gguf;
mod guard;
mod holder;
pub mod merge;
pub mod named_tensors;
pub mod names;
pub mod pickle;
pub mod reading;
pub mod tensor_file;
pub mod torch_archive;
pub mod torch_file;
pub mod weights;
pub mod weights_file;
pub mod written;

pub use torch_file::TorchFile;
