//! ComfyUI_essentials.

mod image_resize;
mod simple_math;
