//! ComfyUI_essentials.

mod image_crop;
mod image_resize;
mod masks;
mod pixels;
mod simple_math;
