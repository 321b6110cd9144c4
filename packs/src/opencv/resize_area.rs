//! `INTER_AREA` where no side grows.

use anyhow::Result;

use super::raster::{Going, Raster};
use super::taps::scale;

/// Equals OpenCV's in every byte: whole factors are summed as whole numbers, others in float32.
pub(super) fn shrink(picture: &Raster<u8>, width: usize, height: usize, going: Going) -> Result<Raster<u8>> {
    let (across, down) = (scale(picture.width, width), scale(picture.height, height));
    let whole = |scale: f64| (scale - scale.round_ties_even()).abs() < f64::EPSILON;
    if whole(across) && whole(down) {
        let factors = (across.round_ties_even() as usize, down.round_ties_even() as usize);
        return by_whole_factors(picture, (width, height), factors, going);
    }
    by_parts(picture, (width, height), (across, down), going)
}

fn by_whole_factors(
    picture: &Raster<u8>,
    (width, height): (usize, usize),
    (across, down): (usize, usize),
    going: Going,
) -> Result<Raster<u8>> {
    let channels = picture.channels;
    let part = 1.0 / (across * down) as f32;
    let mean = |sum: u32| match (across, down) {
        (2, 2) => ((sum + 2) >> 2) as u8,
        _ => rounded(sum as f32 * part),
    };
    let mut made = Raster::blank(width, height, channels)?;
    let mut sums = vec![0_u32; width * channels];
    for (y, into) in made.rows_mut().enumerate() {
        going()?;
        sums.fill(0);
        for row in picture.rows().skip(y * down).take(down) {
            for (x, sums) in sums.chunks_exact_mut(channels).enumerate() {
                for pixel in row[x * across * channels..].chunks_exact(channels).take(across) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u32::from(*value));
                }
            }
        }
        into.iter_mut().zip(&sums).for_each(|(into, sum)| *into = mean(*sum));
    }
    Ok(made)
}

/// How much of an old pixel is in a new one.
struct Share {
    old: usize,
    weight: f32,
}

/// The old pixels that each of `new` pixels covers, and their shares of it.
fn shares(old: usize, new: usize, scale: f64) -> Vec<Vec<Share>> {
    /// What is narrower than this is left out.
    const LEAST: f64 = 1e-3;
    let of = |at: usize| {
        let (start, end) = (at as f64 * scale, at as f64 * scale + scale);
        let cell = scale.min(old as f64 - start);
        let last = (end.floor() as usize).min(old - 1);
        let first = (start.ceil() as usize).min(last);
        let mut shares = Vec::new();
        if first as f64 - start > LEAST {
            shares.push(Share { old: first - 1, weight: ((first as f64 - start) / cell) as f32 });
        }
        shares.extend((first..last).map(|old| Share { old, weight: (1.0 / cell) as f32 }));
        if end - last as f64 > LEAST {
            shares.push(Share { old: last, weight: ((end - last as f64).min(1.0).min(cell) / cell) as f32 });
        }
        shares
    };
    (0..new).map(of).collect()
}

fn by_parts(
    picture: &Raster<u8>,
    (width, height): (usize, usize),
    (across, down): (f64, f64),
    going: Going,
) -> Result<Raster<u8>> {
    let channels = picture.channels;
    let columns = shares(picture.width, width, across);
    let mut made = Raster::blank(width, height, channels)?;
    let mut narrowed = vec![0.0_f32; width * channels];
    let mut sums = narrowed.clone();
    for (shares, into) in shares(picture.height, height, down).iter().zip(made.rows_mut()) {
        sums.fill(0.0);
        for Share { old, weight } in shares {
            going()?;
            narrow(picture.row(*old), &columns, channels, &mut narrowed);
            sums.iter_mut().zip(&narrowed).for_each(|(sum, value)| *sum += weight * value);
        }
        into.iter_mut().zip(&sums).for_each(|(into, sum)| *into = rounded(*sum));
    }
    Ok(made)
}

/// A row made as wide as the columns.
fn narrow(row: &[u8], columns: &[Vec<Share>], channels: usize, into: &mut [f32]) {
    for (shares, into) in columns.iter().zip(into.chunks_exact_mut(channels)) {
        into.fill(0.0);
        for Share { old, weight } in shares {
            let pixel = &row[old * channels..][..channels];
            into.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += f32::from(*value) * weight);
        }
    }
}

/// The nearest whole number, even where two are, within a byte.
pub(super) fn rounded(value: f32) -> u8 {
    value.round_ties_even() as u8
}
