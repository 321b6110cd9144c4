//! ComfyUI-Inspire-Pack.

mod files;
mod load_images;
