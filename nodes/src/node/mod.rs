//! The nodes, one file each, in folders named as ComfyUI names its categories.

mod audio;
mod conditioning;
mod context;
mod dataset;
mod guidance;
mod held;
mod image;
mod latent;
mod loaders;
mod logic;
mod mask;
mod model;
mod model_merging;
mod model_patches;
mod sampling;
mod testing;
mod transform;
mod utils;

pub use image::save_previews;
