use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::models::autoencoder::Tiles;
use crate::networks::Networks;
use crate::recipes::VaeRecipe;
use crate::values::{Image, Latent};

/// Decodes latents tile by tile, which needs less memory. Seams are blended. Of pictures the result is the mean of three tilings.
#[derive(Node)]
#[node(category = "_for_testing", display = "VAE Decode (Tiled)")]
struct VAEDecodeTiled {
    samples: Latent,
    vae: VaeRecipe,
    /// The side of a tile in pixels.
    #[input(default = 512, min = 64, max = 4096, step = 32, beyond = Above)]
    tile_size: i64,
    /// The overlap of tiles in pixels, at most a quarter of a tile.
    #[input(default = 64, min = 0, max = 4096, step = 32, beyond = Above)]
    overlap: i64,
    /// Frames in a tile. Only for video VAEs.
    #[input(default = 64, min = 8, max = 4096, step = 4)]
    temporal_size: i64,
    /// Frames by which tiles overlap. Only for video VAEs.
    #[input(default = 8, min = 4, max = 4096, step = 4)]
    temporal_overlap: i64,
}

impl Run for VAEDecodeTiled {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Image> {
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        let overlap = if self.tile_size < self.overlap * 4 { self.tile_size / 4 } else { self.overlap };
        let frame_overlap = self.temporal_overlap / if self.temporal_size < self.temporal_overlap * 2 { 2 } else { 1 };
        let each = vae.frames().unwrap_or(1);
        let frames = (self.temporal_size / each).max(2);
        let tiles = Tiles {
            side: self.tile_size / vae.factor(),
            overlap: overlap / vae.factor(),
            frames,
            frame_overlap: (frame_overlap / each).min(frames / 2).max(1),
        };
        Ok(Image(vae.decode_tiled(&self.samples.samples, tiles, &mut |done, total| cx.progress(done, total))?))
    }
}
