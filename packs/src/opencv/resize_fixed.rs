//! OpenCV's own interpolations of bytes, with weights in 2048ths.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use anyhow::Result;

use super::raster::{Going, Raster};
use super::resize_area::rounded;
use super::taps::{Taps, around, cubic_weights, scale};

const ONE: f32 = 2048.0;
/// Bits behind the point after both sides.
const BITS: u32 = 22;

/// `INTER_AREA` where a side grows: a mixture of two neighbours, the second only where a new pixel reaches into it. Equals OpenCV's in every
/// byte.
pub(super) fn two_neighbours(picture: &Raster<u8>, width: usize, height: usize, going: Going) -> Result<Raster<u8>> {
    let taps = |old: usize, new: usize, clipped: bool| {
        let scale = scale(old, new);
        let per_old = new as f64 / old as f64;
        Taps::of(old, new, |at| {
            let first = (at as f64 * scale).floor();
            let reach = ((at as f64 + 1.0) - (first + 1.0) * per_old) as f32;
            let at_the_edge = clipped && first as usize + 1 >= old;
            let second = if reach <= 0.0 || at_the_edge { 0.0 } else { reach - reach.floor() };
            (first as i64, [whole(1.0 - second), whole(second)])
        })
    };
    let across = taps(picture.width, width, true);
    let down = taps(picture.height, height, false);
    fixed(picture, (&across, &down), going, |weights, values, _| {
        let part = |at: usize| (i32::from(weights[at]) * (values[at] >> 4)) >> 16;
        ((part(0) + part(1) + 2) >> 2) as u8
    })
}

/// `INTER_CUBIC` without IPP. Equals OpenCV's in every byte: whole eights of a row are mixed in float32, what is left as whole numbers.
pub(super) fn cubic(picture: &Raster<u8>, width: usize, height: usize, going: Going) -> Result<Raster<u8>> {
    let across = around(picture.width, width, |x| cubic_weights(x).map(whole));
    let down = around(picture.height, height, |x| cubic_weights(x).map(whole));
    let in_floats = width * picture.channels / 8 * 8;
    fixed(picture, (&across, &down), going, |weights, values, at| {
        if at < in_floats {
            let part = |at: usize| values[at] as f32 * (f32::from(weights[at]) / (ONE * ONE));
            rounded(part(0) + (part(1) + (part(2) + part(3))))
        } else {
            whole_sum(weights, values)
        }
    })
}

/// `INTER_LANCZOS4`. Equals OpenCV's in every byte.
pub(super) fn lanczos4(picture: &Raster<u8>, width: usize, height: usize, going: Going) -> Result<Raster<u8>> {
    let across = around(picture.width, width, |x| lanczos4_weights(x).map(whole));
    let down = around(picture.height, height, |x| lanczos4_weights(x).map(whole));
    fixed(picture, (&across, &down), going, |weights, values, _| whole_sum(weights, values))
}

/// `x` is how far behind the fourth of eight neighbours.
fn lanczos4_weights(x: f32) -> [f32; 8] {
    const S: f64 = FRAC_1_SQRT_2;
    /// What the sine of the eight places is made of: so much of that of the first, and of its cosine.
    const TURNS: [(f64, f64); 8] =
        [(1.0, 0.0), (-S, -S), (0.0, 1.0), (S, -S), (-1.0, 0.0), (S, S), (0.0, -1.0), (-S, S)];
    /// Stands for a weight without bounds: all others are 0 beside it.
    const ALL: f32 = 1e30;
    let (sine, cosine) = (-(f64::from(x) + 3.0) * PI * 0.25).sin_cos();
    let weights: [f32; 8] = std::array::from_fn(|at| {
        let distance = x + 3.0 - at as f32;
        if distance.abs() < 1e-6 {
            return ALL;
        }
        let angle = -f64::from(distance) * PI * 0.25;
        ((TURNS[at].0 * sine + TURNS[at].1 * cosine) / (angle * angle)) as f32
    });
    let all = 1.0 / weights.iter().sum::<f32>();
    weights.map(|weight| weight * all)
}

fn whole(weight: f32) -> i16 {
    (weight * ONE).round_ties_even() as i16
}

fn whole_sum<const N: usize>(weights: &[i16; N], values: [i32; N]) -> u8 {
    let sum = (0..N).fold(0_i32, |sum, at| sum.wrapping_add(i32::from(weights[at]).wrapping_mul(values[at])));
    (sum.wrapping_add(1 << (BITS - 1)) >> BITS).clamp(0, 255) as u8
}

/// Widths first, in 2048ths between; then `mix` makes bytes of the weights, the values over one another, and their place in the row.
fn fixed<const N: usize>(
    picture: &Raster<u8>,
    (across, down): (&Taps<i16, N>, &Taps<i16, N>),
    going: Going,
    mix: impl Fn(&[i16; N], [i32; N], usize) -> u8,
) -> Result<Raster<u8>> {
    let channels = picture.channels;
    let mut widened: Raster<i32> = Raster::blank(across.0.len(), picture.height, channels)?;
    for (row, into) in picture.rows().zip(widened.rows_mut()) {
        going()?;
        for ((places, weights), into) in across.0.iter().zip(into.chunks_exact_mut(channels)) {
            for (channel, into) in into.iter_mut().enumerate() {
                let parts = places.iter().zip(weights);
                *into = parts.map(|(x, weight)| i32::from(row[x * channels + channel]) * i32::from(*weight)).sum();
            }
        }
    }
    let mut made = Raster::blank(across.0.len(), down.0.len(), channels)?;
    for ((places, weights), into) in down.0.iter().zip(made.rows_mut()) {
        going()?;
        let rows = places.map(|y| widened.row(y));
        for (at, into) in into.iter_mut().enumerate() {
            *into = mix(weights, rows.map(|row| row[at]), at);
        }
    }
    Ok(made)
}
