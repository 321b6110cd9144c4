//! Working through a large picture tile by tile, with the seams blended as the reference blends them.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

/// How one side is cut, in the input's own pixels or frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Side {
    pub(super) tile: i64,
    pub(super) overlap: i64,
    pub(super) scale: Scale,
}

/// How lengths along a side change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    Times(f64),
    /// Each latent frame becomes so many frames, but the first becomes one.
    FramesUp(i64),
    /// The reverse.
    FramesDown(i64),
}

impl Scale {
    /// What becomes of a length.
    pub(super) fn length(self, n: i64) -> i64 {
        match self {
            Scale::Times(scale) => (n as f64 * scale).round_ties_even() as i64,
            Scale::FramesUp(each) => (n * each - (each - 1)).max(0),
            Scale::FramesDown(each) => ((n + each - 1) / each).max(0),
        }
    }

    /// What becomes of the place where a tile starts.
    fn place(self, n: i64) -> i64 {
        match self {
            Scale::Times(_) => self.length(n),
            Scale::FramesUp(each) => n * each,
            Scale::FramesDown(each) => (n as f64 / each as f64).round_ties_even() as i64,
        }
    }
}

impl Side {
    /// Where tiles start along a side of `length`.
    fn starts(self, length: i64) -> Result<Vec<i64>> {
        let Side { tile, overlap, .. } = self;
        if length <= tile {
            return Ok(vec![0]);
        }
        ensure!(
            tile > overlap,
            "tiles of {tile} pixels or frames cannot overlap by {overlap}; choose a larger tile_size or a smaller overlap"
        );
        let step = tile - overlap;
        Ok((0..length - overlap)
            .step_by(usize::try_from(step)?)
            .map(|start| start.min(length - overlap).max(0))
            .collect())
    }
}

/// How many tiles the pictures or videos of `x` take.
pub(super) fn count(x: &Tensor, sides: &[Side]) -> Result<usize> {
    let size = x.size();
    sides.iter().zip(&size[2..]).try_fold(usize::try_from(size[0])?, |count, (side, &length)| {
        Ok(count.saturating_mul(side.starts(length)?.len()))
    })
}

/// The places of all tiles, the last side's first.
fn places(starts: &[Vec<i64>]) -> Vec<Vec<i64>> {
    starts.iter().fold(vec![Vec::new()], |places, starts| {
        let further = |place: Vec<i64>| starts.iter().map(move |&start| [place.as_slice(), &[start]].concat());
        places.into_iter().flat_map(further).collect()
    })
}

/// Applies `function` to the tiles of every picture or video of `x` (B×C×… and a dimension for each of `sides`) and blends the results.
///
/// `function` maps a tile of one picture to one of `channels` channels, its sides scaled. Results are float32 on the CPU. Inside the
/// overlap a tile's weight falls linearly to its edges; what several tiles cover is their weighted mean. What is no larger than a tile
/// is handed over whole.
pub(super) fn tiled(
    x: &Tensor,
    sides: &[Side],
    channels: i64,
    mut function: impl FnMut(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let size = x.size();
    let starts = sides.iter().zip(&size[2..]).map(|(side, &n)| side.starts(n)).collect::<Result<Vec<_>>>()?;
    let places = places(&starts);
    let scaled: Vec<i64> = sides.iter().zip(&size[2..]).map(|(side, &n)| side.scale.length(n)).collect();
    let options = (Kind::Float, Device::Cpu);
    let mut pictures = Vec::new();
    for b in 0..size[0] {
        let picture = x.narrow(0, b, 1);
        if places.len() == 1 {
            pictures.push(function(&picture)?.to_device_(Device::Cpu, Kind::Float, false, false));
            continue;
        }
        let (sum, weight) = (
            Tensor::zeros([&[1, channels], scaled.as_slice()].concat(), options),
            Tensor::zeros([&[1, 1], scaled.as_slice()].concat(), options),
        );
        for place in &places {
            let part = (2..).zip(sides).zip(place).fold(picture.shallow_clone(), |part, ((dim, side), &at)| {
                part.narrow(dim, at, side.tile.min(size[dim as usize] - at))
            });
            let tile = function(&part)?.to_device_(Device::Cpu, Kind::Float, false, false);
            let mask = mask(&tile.size()[2..], sides);
            let at_place = |whole: &Tensor| {
                (2..).zip(sides).zip(place).try_fold(whole.shallow_clone(), |part, ((dim, side), &at)| {
                    part.f_narrow(dim, side.scale.place(at), tile.size()[dim as usize])
                })
            };
            // The narrowed views share memory with `sum` and `weight`, which were made here.
            let _ = at_place(&sum)?.g_add_(&(&tile * &mask));
            let _ = at_place(&weight)?.g_add_(&mask);
        }
        pictures.push(sum / weight);
    }
    Ok(Tensor::cat(&pictures, 0))
}

/// The weights of a tile's results, of these lengths along the sides.
fn mask(lengths: &[i64], sides: &[Side]) -> Tensor {
    let weights = lengths.iter().zip(sides).map(|(&n, side)| feather(n, side.scale.length(side.overlap)));
    weights.fold(Tensor::ones([1, 1], (Kind::Float, Device::Cpu)), |mask, weights| mask.unsqueeze(-1) * weights)
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

    fn side(tile: i64, overlap: i64) -> Side {
        Side { tile, overlap, scale: Scale::Times(1.0) }
    }

    #[test]
    fn tiles_start_where_the_reference_starts_them() {
        let starts = |length, tile, overlap| side(tile, overlap).starts(length).unwrap();
        assert_eq!(starts(64, 64, 16), [0]);
        assert_eq!(starts(65, 64, 16), [0, 48]);
        assert_eq!(starts(20, 8, 2), [0, 6, 12]);
        assert_eq!(starts(28, 4, 2), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]);
        assert!(side(32, 32).starts(65).unwrap_err().to_string().contains("overlap by 32"));
        assert_eq!(starts(32, 32, 64), [0]);
        let x = Tensor::zeros([2, 4, 20, 28], (Kind::Float, Device::Cpu));
        assert_eq!(count(&x, &[side(8, 2), side(4, 2)]).unwrap(), 2 * 39);
        assert_eq!(places(&[vec![0, 6], vec![0, 2]]), [[0, 0], [0, 2], [6, 0], [6, 2]]);
    }

    #[test]
    fn a_first_frame_stands_for_itself() {
        let (up, down) = (Scale::FramesUp(4), Scale::FramesDown(4));
        assert_eq!([0, 1, 2, 5].map(|n| up.length(n)), [0, 1, 5, 17]);
        assert_eq!([1, 2, 5, 6, 17].map(|n| down.length(n)), [1, 1, 2, 2, 5]);
        assert_eq!((up.place(3), down.place(12)), (12, 3));
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
        let y = tiled(&x, &[side(8, 2), side(16, 2)], 3, |tile| Ok(tile * 2.0)).unwrap();
        assert!((y - x * 2.0).abs().max().double_value(&[]) < 1e-5);
    }
}
