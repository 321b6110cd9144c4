//! The nodes, one file each, in folders named as ComfyUI names its categories.

mod conditioning;
mod image;
mod latent;
mod loaders;
mod logic;
mod mask;
mod sampling;
mod utils;
