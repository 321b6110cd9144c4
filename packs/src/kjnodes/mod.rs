//! ComfyUI-KJNodes.

mod batches;
mod colours;
mod masks;
mod padding;
mod resize;
