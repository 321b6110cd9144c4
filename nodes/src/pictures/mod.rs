//! Picture files: reading them as LoadImage does, writing them as SaveImage does.
//!
//! ComfyUI reads and writes through Pillow. The pixels here are compared with those of Pillow 13, format by format.
//! Files come from strangers: sizes are checked before memory is taken, and no name leaves its directory.

pub mod animation;
mod avif;
pub mod draft;
pub mod exr;
mod frame;
pub mod gif_animation;
mod gif_file;
mod jpeg_file;
pub mod names;
mod orientation;
mod png_file;
pub mod read;
pub mod stand_in;
mod stills;
mod webp_file;
pub mod write;
