//! Models and text encoders merged, and written to files.

mod blocks;
mod clips;
mod models;
mod extract_lora;
mod save;
