//! ComfyUI-Impact-Pack.

mod blur;
mod lists;
