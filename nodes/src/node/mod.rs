//! The nodes, one file each, in folders named as ComfyUI names its categories.

mod conditioning;
mod dataset;
mod image;
mod latent;
mod loaders;
mod logic;
mod mask;
mod sampling;
mod testing;
mod transform;
mod utils;
