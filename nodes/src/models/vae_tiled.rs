//! Working through a large picture tile by tile, with the seams blended as the reference blends them.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

/// How a picture is cut: tile height and width and their overlap, in the input's own pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiling {
    pub(super) height: i64,
    pub(super) width: i64,
    pub(super) overlap: i64,
}

impl Tiling {
    /// Where tiles start along a side of `length` for tiles of `tile`.
    fn starts(length: i64, tile: i64, overlap: i64) -> Result<Vec<i64>> {
        if length <= tile {
            return Ok(vec![0]);
        }
        ensure!(
            tile > overlap,
            "tiles of {tile} pixels cannot overlap by {overlap}; choose a larger tile_size or a smaller overlap"
        );
        let step = tile - overlap;
        Ok((0..length - overlap)
            .step_by(usize::try_from(step)?)
            .map(|start| start.min(length - overlap).max(0))
            .collect())
    }

    /// How many tiles one picture of this size takes.
    pub(super) fn count(self, height: i64, width: i64) -> Result<usize> {
        let rows = Self::starts(height, self.height, self.overlap)?.len();
        Ok(rows * Self::starts(width, self.width, self.overlap)?.len())
    }
}

/// Applies `function` to the tiles of every picture of `x` (B×C×H×W) and blends the results.
///
/// `function` maps a 1×C×h×w tile to 1×`channels`×h'×w' with sizes scaled by `scale`. Results are float32 on the CPU.
/// Inside the overlap a tile's weight falls linearly to its edges; what several tiles cover is their weighted mean. A
/// picture no larger than a tile is handed over whole.
pub(super) fn tiled(
    x: &Tensor,
    tiling: Tiling,
    scale: f64,
    channels: i64,
    mut function: impl FnMut(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (batch, height, width) = (x.size()[0], x.size()[2], x.size()[3]);
    let scaled = |n: i64| (n as f64 * scale).round_ties_even() as i64;
    let rows = Tiling::starts(height, tiling.height, tiling.overlap)?;
    let columns = Tiling::starts(width, tiling.width, tiling.overlap)?;
    let options = (Kind::Float, Device::Cpu);
    let size = [1, channels, scaled(height), scaled(width)];
    let mut pictures = Vec::new();
    for b in 0..batch {
        let picture = x.narrow(0, b, 1);
        if rows.len() == 1 && columns.len() == 1 {
            pictures.push(function(&picture)?.to_device_(Device::Cpu, Kind::Float, false, false));
            continue;
        }
        let (sum, weight) = (Tensor::zeros(size, options), Tensor::zeros([1, 1, size[2], size[3]], options));
        for &row in &rows {
            for &column in &columns {
                let (h, w) = (tiling.height.min(height - row), tiling.width.min(width - column));
                let tile = function(&picture.narrow(2, row, h).narrow(3, column, w))?;
                let tile = tile.to_device_(Device::Cpu, Kind::Float, false, false);
                let (h, w) = (tile.size()[2], tile.size()[3]);
                let mask = feather(h, scaled(tiling.overlap)).unsqueeze(1) * feather(w, scaled(tiling.overlap));
                let place = |t: &Tensor| t.f_narrow(2, scaled(row), h)?.f_narrow(3, scaled(column), w);
                // The narrowed views share memory with `sum` and `weight`, which were made here.
                let _ = place(&sum)?.g_add_(&(tile * &mask));
                let _ = place(&weight)?.g_add_(&mask);
            }
        }
        pictures.push(sum / weight);
    }
    Ok(Tensor::cat(&pictures, 0))
}

/// Weights along one side of a tile: rising over `width` pixels at either end, 1 in between.
fn feather(length: i64, width: i64) -> Tensor {
    let mut weights = vec![1f32; usize::try_from(length).unwrap_or(0)];
    if width < length {
        for t in 0..usize::try_from(width).unwrap_or(0) {
            let a = ((t + 1) as f64 / width as f64) as f32;
            let last = weights.len() - 1 - t;
            weights[t] *= a;
            weights[last] *= a;
        }
    }
    Tensor::from_slice(&weights)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ops::noise::randn;

    #[test]
    fn tiles_start_where_the_reference_starts_them() {
        let starts = |length, tile, overlap| Tiling::starts(length, tile, overlap).unwrap();
        assert_eq!(starts(64, 64, 16), [0]);
        assert_eq!(starts(65, 64, 16), [0, 48]);
        assert_eq!(starts(20, 8, 2), [0, 6, 12]);
        assert_eq!(starts(28, 4, 2), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]);
        assert!(Tiling::starts(65, 32, 32).unwrap_err().to_string().contains("overlap by 32"));
        assert_eq!(starts(32, 32, 64), [0]);
        assert_eq!(Tiling { height: 8, width: 4, overlap: 2 }.count(20, 28).unwrap(), 39);
    }

    #[test]
    fn weights_rise_over_the_overlap() {
        let weights = |n, width| Vec::<f32>::try_from(feather(n, width)).unwrap();
        assert_eq!(weights(6, 2), [0.5, 1.0, 1.0, 1.0, 1.0, 0.5]);
        assert_eq!(weights(3, 2), [0.5, 1.0, 0.5]);
        assert_eq!(weights(2, 2), [1.0, 1.0]);
        assert_eq!(weights(2, 0), [1.0, 1.0]);
    }

    #[test]
    fn a_pointwise_function_comes_out_unchanged() {
        let x = randn(1, &[2, 3, 20, 28]);
        let tiling = Tiling { height: 8, width: 16, overlap: 2 };
        let y = tiled(&x, tiling, 1.0, 3, |tile| Ok(tile * 2.0)).unwrap();
        assert!((y - x * 2.0).abs().max().double_value(&[]) < 1e-5);
    }
}
