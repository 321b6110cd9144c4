//! ComfyUI's nodes over libtorch: wire types, networks, sampling, text.

pub mod models;
pub mod node;
pub mod ops;
pub mod pictures;
pub mod sampling;
pub mod text;
pub mod values;
