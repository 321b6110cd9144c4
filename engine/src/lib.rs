//! The engine of redraft: reads ComfyUI workflows, plans them and executes them. It knows no tensors.

pub mod object_info;
pub mod prompt;
pub mod schema;
pub mod workflow;
