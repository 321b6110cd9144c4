//! Pictures in overlapping tiles, and tiles as a picture.

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs, memory};
use tch::{Kind, Tensor};

use crate::ops::resize::picture_size;
use crate::values::Image;

/// Cuts pictures into a list of tiles that overlap. Those at the right and lower edge are moved inwards, and overlap more.
#[derive(Node)]
#[node(category = "image/batch", display = "Split Image into List of Tiles")]
struct SplitImageToTileList {
    image: Image,
    #[input(default = 1024, min = 64, max = 16384)]
    tile_width: i64,
    #[input(default = 1024, min = 64, max = 16384)]
    tile_height: i64,
    /// By how many pixels neighbours overlap; at most by three quarters of a tile.
    #[input(default = 128, min = 0, max = 4096)]
    overlap: i64,
}

#[derive(Outputs)]
struct Tiles {
    tiles: List<Image>,
}

impl Run for SplitImageToTileList {
    type Out = Tiles;

    fn run(self, _: &mut Cx) -> Result<Tiles> {
        let Image(image) = self.image;
        let (width, height) = picture_size(&image)?;
        let columns = starts(width, self.tile_width, self.overlap);
        let mut tiles = Vec::new();
        for (top, tall) in starts(height, self.tile_height, self.overlap) {
            tiles.extend(columns.iter().map(|(left, wide)| Image(image.narrow(1, top, tall).narrow(2, *left, *wide))));
        }
        Ok(Tiles { tiles: List(tiles) })
    }
}

/// Where tiles begin along one side, and how long each is.
fn starts(side: i64, tile: i64, overlap: i64) -> Vec<(i64, i64)> {
    let step = (tile as f64 * 0.25).max((tile - overlap) as f64).round_ties_even().max(1.0) as i64;
    let length = tile.min(side);
    let mut found = Vec::new();
    for at in (0..side).step_by(usize::try_from(step).unwrap_or(1)) {
        let end = (at + tile).min(side);
        found.push((end - length, length));
        if end >= side {
            break;
        }
    }
    found
}

/// Puts tiles that were cut by Split Image into List of Tiles together. Where they overlap they fade into each other.
#[derive(Node)]
#[node(category = "image/batch", display = "Merge List of Tiles to Image")]
struct ImageMergeTileList {
    image_list: List<Image>,
    #[input(default = 1024, min = 64, max = 32768)]
    final_width: List<i64>,
    #[input(default = 1024, min = 64, max = 32768)]
    final_height: List<i64>,
    /// What the tiles were cut with.
    #[input(default = 128, min = 0, max = 4096)]
    overlap: List<i64>,
}

impl Run for ImageMergeTileList {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let first = |list: &List<i64>, name: &str| {
            list.0.first().copied().with_context(|| format!("input '{name}' is an empty list; connect a number"))
        };
        let (width, height) = (first(&self.final_width, "final_width")?, first(&self.final_height, "final_height")?);
        let overlap = first(&self.overlap, "overlap")?;
        let tiles = self.image_list.0;
        let tile = tiles.first().context("there are no tiles; connect a list of pictures")?.0.shallow_clone();
        let (wide, tall) = picture_size(&tile)?;
        let size = tile.size();
        let [batch, _, _, channels] = size[..] else {
            bail!("a tile of shape {size:?} is no picture; connect tiles of one picture")
        };
        let floats = batch.saturating_mul(height).saturating_mul(width).saturating_mul(3 * channels + 1);
        memory::ask(usize::try_from(floats).unwrap_or(usize::MAX).saturating_mul(4), "the merged picture")?;
        let options = (tile.kind(), tile.device());
        let canvas = Tensor::zeros([batch, height, width, channels], options);
        let weights = Tensor::zeros([batch, height, width, 1], options);
        let mask = weight(wide, tall, overlap, options);
        let columns = starts(width, wide, overlap);
        let places =
            starts(height, tall, overlap).into_iter().flat_map(|row| columns.iter().map(move |column| (row, *column)));
        for (((top, rows), (left, cols)), Image(tile)) in places.zip(&tiles) {
            cx.check()?;
            ensure!(
                tile.size().len() == 4 && tile.size()[0] == batch && tile.size()[3] == channels,
                "a tile of shape {:?} stands beside one of {size:?}; connect tiles of one picture",
                tile.size()
            );
            let (rows, cols) = (rows.min(tile.size()[1]), cols.min(tile.size()[2]));
            let part = |of: &Tensor, top: i64, left: i64| of.narrow(1, top, rows).narrow(2, left, cols);
            let weighed = part(tile, 0, 0) * part(&mask, 0, 0);
            let _ = part(&canvas, top, left).g_add_(&weighed);
            let _ = part(&weights, top, left).g_add_(&part(&mask, 0, 0));
        }
        let _ = weights.shallow_clone().masked_fill_(&weights.eq(0.0), 1.0);
        Ok(Image(canvas / weights))
    }
}

/// How much each pixel of a tile counts, 1×tall×wide×1: without an overlap 1, else half a sine across either side.
fn weight(wide: i64, tall: i64, overlap: i64, options: (Kind, tch::Device)) -> Tensor {
    if overlap <= 0 {
        return Tensor::ones([1, tall, wide, 1], options);
    }
    let side = |length: i64| (Tensor::linspace(0.0, 1.0, length, options) * std::f64::consts::PI).sin().clamp_min(1e-5);
    let sine = (side(tall).unsqueeze(1) * side(wide).unsqueeze(0)).unsqueeze(0).unsqueeze(-1);
    sine.ones_like().lerp(&sine, 1.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::Device;

    use super::*;

    /// Figures from ComfyUI 0.33.0.
    #[test]
    fn tiles_begin_where_comfyui_s_do() {
        assert_eq!(starts(1000, 512, 128), [(0, 512), (384, 512), (488, 512)]);
        assert_eq!(starts(300, 512, 128), [(0, 300)]);
        assert_eq!(starts(200, 64, 4096), (0..9).map(|n| (16 * n, 64)).chain([(136, 64)]).collect::<Vec<_>>());
        assert_eq!(starts(128, 64, 0), [(0, 64), (64, 64)]);
    }

    #[test]
    fn what_was_cut_is_put_together_again() {
        let image = Tensor::arange(3 * 200 * 150, (Kind::Float, Device::Cpu)).view([1, 200, 150, 3]) / 90_000.0;
        for overlap in [0, 16, 60] {
            let node =
                SplitImageToTileList { image: Image(image.shallow_clone()), tile_width: 64, tile_height: 80, overlap };
            let tiles = Cx::for_test().run(node).unwrap().tiles;
            let node = ImageMergeTileList {
                image_list: tiles,
                final_width: List(vec![150]),
                final_height: List(vec![200]),
                overlap: List(vec![overlap]),
            };
            let merged = Cx::for_test().run(node).unwrap().0;
            let apart = (merged - &image).abs().max().double_value(&[]);
            assert!(apart < 1e-6, "{overlap}: {apart}");
        }
    }
}
