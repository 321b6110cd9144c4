//! Models and text encoders merged, and written to files.

mod blocks;
mod clips;
mod extract_lora;
mod models;
mod save;
