//! The networks, as plain structs over weights, and the table that recognises a checkpoint.

pub mod autoencoder;
pub mod clip_names;
pub mod clip_text;
pub mod clip_vision;
pub mod esrgan;
pub mod families;
pub mod flux;
mod flux_blocks;
pub mod footprint;
mod patches;
mod placing;
pub mod qwen;
pub mod qwen_image;
mod qwen_image_block;
pub mod qwen_templates;
mod qwen_vision;
pub mod random;
pub mod sd3;
mod sd3_blocks;
pub mod style_model;
pub mod t5;
pub mod text_recipes;
mod token_table;
pub mod unet;
pub mod unet_blocks;
pub mod vae;
pub mod vae_blocks;
pub mod vae_tiled;
pub mod wan;
mod wan_blocks;
pub mod wan_shown;
pub mod wan_vae;
mod wan_vae_blocks;
mod wan_vae_layers;
pub mod z_image;

#[cfg(test)]
pub(crate) mod reference;
