//! ComfyUI_essentials.

mod simple_math;
