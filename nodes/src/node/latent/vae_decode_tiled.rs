use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::networks::Networks;
use crate::recipes::VaeRecipe;
use crate::values::{Image, Latent};

/// Decodes latents tile by tile, which needs less memory. The result is the mean of three tilings with blended seams.
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
    #[expect(dead_code, reason = "declared for video VAEs, which no supported family has")]
    temporal_size: i64,
    /// Frames by which tiles overlap. Only for video VAEs.
    #[input(default = 8, min = 4, max = 4096, step = 4)]
    #[expect(dead_code, reason = "declared for video VAEs, which no supported family has")]
    temporal_overlap: i64,
}

impl Run for VAEDecodeTiled {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Image> {
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        let overlap = if self.tile_size < self.overlap * 4 { self.tile_size / 4 } else { self.overlap };
        let (tile, overlap) = (self.tile_size / vae.factor(), overlap / vae.factor());
        Ok(Image(vae.decode_tiled(&self.samples.samples, tile, overlap, &mut |done, total| cx.progress(done, total))?))
    }
}
