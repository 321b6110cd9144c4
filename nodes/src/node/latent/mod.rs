mod empty_latent_image;
mod latent_from_batch;
mod repeat_latent_batch;
mod vae_decode;
mod vae_decode_tiled;
mod vae_encode;
mod vae_encode_tiled;
