//! The networks, as plain structs over weights, and the table that recognises a checkpoint.

pub mod autoencoder;
pub mod chroma;
pub mod clip_names;
pub mod clip_text;
pub mod esrgan;
pub mod families;
pub mod flux;
mod flux_blocks;
pub mod footprint;
pub mod hunyuan_video;
pub mod hunyuan_video_vae;
pub mod ltxv;
pub mod ltxv_vae;
mod ltxv_vae_blocks;
mod patches;
pub mod picture_autoencoder;
pub mod pixart;
pub mod pixel_space;
mod placing;
pub mod qwen;
pub mod qwen_image;
mod qwen_image_block;
pub mod qwen_templates;
mod qwen_vision;
pub mod random;
pub mod sd3;
mod sd3_blocks;
pub mod t5;
pub mod taesd;
pub mod text_recipes;
mod token_table;
pub mod unet;
pub mod unet_blocks;
pub mod vae;
pub mod vae_blocks;
pub mod vae_tiled;
pub mod video_autoencoder;
pub mod wan;
mod wan_blocks;
pub mod wan_shown;
pub mod wan_vae;
mod wan_vae_blocks;
mod wan_vae_layers;
pub mod z_image;

#[cfg(test)]
pub(crate) mod reference;
