//! ComfyUI-Impact-Pack.

mod blur;
mod lists;
mod logic;
