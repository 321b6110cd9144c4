use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::models::autoencoder::Tiles;
use crate::networks::Networks;
use crate::recipes::VaeRecipe;
use crate::values::{Image, Latent};

/// Encodes pictures tile by tile, which needs less memory. Seams are blended. Of pictures the result is the mean of three tilings.
#[derive(Node)]
#[node(category = "_for_testing", display = "VAE Encode (Tiled)")]
struct VAEEncodeTiled {
    pixels: Image,
    vae: VaeRecipe,
    /// The side of a tile in pixels.
    #[input(default = 512, min = 64, max = 4096, step = 64, beyond = Above)]
    tile_size: i64,
    /// The overlap of tiles in pixels.
    #[input(default = 64, min = 0, max = 4096, step = 32)]
    overlap: i64,
    /// Frames in a tile. Only for video VAEs.
    #[input(default = 64, min = 8, max = 4096, step = 4)]
    temporal_size: i64,
    /// Frames by which tiles overlap. Only for video VAEs.
    #[input(default = 8, min = 4, max = 4096, step = 4)]
    temporal_overlap: i64,
}

impl Run for VAEEncodeTiled {
    type Out = Latent;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Latent> {
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        let progress = &mut |done, total| cx.progress(done, total);
        let tiles = Tiles {
            side: self.tile_size,
            overlap: self.overlap,
            frames: self.temporal_size,
            frame_overlap: self.temporal_overlap,
        };
        Ok(Latent::new(vae.encode_tiled(&self.pixels.0, tiles, progress)?))
    }
}
