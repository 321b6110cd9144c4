//! `INTER_CUBIC` as Intel's IPP computes it, which OpenCV uses on x86-64.

use anyhow::Result;

use super::raster::{Going, Raster};
use super::resize_area::rounded;
use super::taps::{Taps, middle};

/// The sharpness of the interpolation.
const A: f64 = -0.75;

/// Equals OpenCV's with IPP in every byte on a CPU with AVX-512: widths first, then heights, in float32 between. Pictures of three channels
/// are widened in another order than those of one away from the edges.
pub(super) fn cubic(picture: &Raster<u8>, width: usize, height: usize, going: Going) -> Result<Raster<u8>> {
    let channels = picture.channels;
    let across = taps(picture.width, width);
    let mut widened: Raster<f32> = Raster::blank(width, picture.height, channels)?;
    for (row, into) in picture.rows().zip(widened.rows_mut()) {
        going()?;
        for ((places, weights), into) in across.0.iter().zip(into.chunks_exact_mut(channels)) {
            let is_inside = places.windows(2).all(|pair| pair[0] < pair[1]);
            let mix = if channels == 1 && is_inside { in_pairs } else { in_order };
            for (channel, into) in into.iter_mut().enumerate() {
                *into = mix(weights, places.map(|x| f32::from(row[x * channels + channel])));
            }
        }
    }
    let mut made = Raster::blank(width, height, channels)?;
    for ((places, weights), into) in taps(picture.height, height).0.iter().zip(made.rows_mut()) {
        going()?;
        let rows = places.map(|y| widened.row(y));
        for (at, into) in into.iter_mut().enumerate() {
            *into = rounded(in_fused_pairs(weights, rows.map(|row| row[at])));
        }
    }
    Ok(made)
}

/// Four neighbours of each new pixel. Where it lies between the middle two is known to 2⁻²³, what follows is computed in float64.
fn taps(old: usize, new: usize) -> Taps<f32, 4> {
    let scale = old as f64 / new as f64;
    Taps::of(old, new, |at| {
        let middle = middle(at, scale);
        let first = middle.floor();
        let x = f64::from(((middle - first) as f32 + 1.0) - 1.0);
        let outer = |x: f64| A * x * (1.0 - x) * (1.0 - x);
        let inner = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
        let weights = [outer(x), inner(x), inner(1.0 - x), outer(1.0 - x)];
        (first as i64 - 1, weights.map(|weight| weight as f32))
    })
}

fn in_pairs(weights: &[f32; 4], values: [f32; 4]) -> f32 {
    let [a, b, c, d] = std::array::from_fn(|at| weights[at] * values[at]);
    (a + b) + (c + d)
}

fn in_order(weights: &[f32; 4], values: [f32; 4]) -> f32 {
    let first = weights[0] * values[0];
    (1..4).fold(first, |sum, at| weights[at].mul_add(values[at], sum))
}

fn in_fused_pairs(weights: &[f32; 4], values: [f32; 4]) -> f32 {
    weights[0].mul_add(values[0], weights[1] * values[1]) + weights[2].mul_add(values[2], weights[3] * values[3])
}
