//! `cv2.resize` of float32.

use anyhow::Result;

use super::raster::{Going, Raster};
use super::taps::{Taps, middle};

/// Equals `cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)` on float32 with IPP in every bit, where sides grow less than
/// threefold; beyond that columns at the edges may differ in the last bit.
///
/// # Errors
/// If a side is 0, there is too little memory, or `going` fails.
pub(crate) fn linear(picture: &Raster<f32>, (width, height): (usize, usize), going: Going) -> Result<Raster<f32>> {
    let channels = picture.channels;
    if (picture.width, picture.height) == (width, height) {
        return picture.corner(width, height, going);
    }
    let across = taps(picture.width, width);
    let mut widened = Raster::blank(width, picture.height, channels)?;
    for (row, into) in picture.rows().zip(widened.rows_mut()) {
        going()?;
        for (([left, right], [part]), into) in across.iter().zip(into.chunks_exact_mut(channels)) {
            for (channel, into) in into.iter_mut().enumerate() {
                *into = between(row[left * channels + channel], row[right * channels + channel], *part);
            }
        }
    }
    let mut made = Raster::blank(width, height, channels)?;
    for (([above, below], [part]), into) in taps(picture.height, height).iter().zip(made.rows_mut()) {
        going()?;
        for ((into, above), below) in into.iter_mut().zip(widened.row(*above)).zip(widened.row(*below)) {
            *into = between(*above, *below, *part);
        }
    }
    Ok(made)
}

/// The two neighbours of each new pixel, and the part of the second.
fn taps(old: usize, new: usize) -> Vec<([usize; 2], [f32; 1])> {
    let scale = old as f64 / new as f64;
    let parts = (0..new).map(|at| middle(at, scale)).map(|middle| [(middle - middle.floor()) as f32]);
    let places = Taps::of(old, new, |at| (middle(at, scale).floor() as i64, [(), ()]));
    places.0.into_iter().map(|(places, _)| places).zip(parts).collect()
}

fn between(a: f32, b: f32, part: f32) -> f32 {
    (b - a).mul_add(part, a)
}
