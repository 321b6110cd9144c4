//! ComfyUI-KJNodes.

mod batches;
mod colours;
mod constants;
mod joining;
mod masks;
mod padding;
mod resize;
mod resize_old;
mod sizes;
