//! ComfyUI's category `_for_testing`.

mod load_latent;
mod save_latent;
