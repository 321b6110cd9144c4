//! `cv2.resize` of float64.

use anyhow::Result;

use super::raster::{Going, Raster};
use super::taps::{around, cubic_weights};

/// Equals `cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)` on float64 in every bit.
///
/// # Errors
/// If a side is 0, there is too little memory, or `going` fails.
pub(crate) fn cubic(picture: &Raster<f64>, (width, height): (usize, usize), going: Going) -> Result<Raster<f64>> {
    let channels = picture.channels;
    if (picture.width, picture.height) == (width, height) {
        return picture.corner(width, height, going);
    }
    let across = around(picture.width, width, cubic_weights);
    let mut widened: Raster<f64> = Raster::blank(width, picture.height, channels)?;
    for (row, into) in picture.rows().zip(widened.rows_mut()) {
        going()?;
        for ((places, weights), into) in across.0.iter().zip(into.chunks_exact_mut(channels)) {
            for (channel, into) in into.iter_mut().enumerate() {
                *into = mixed(weights, places.map(|x| row[x * channels + channel]));
            }
        }
    }
    let mut made = Raster::blank(width, height, channels)?;
    for ((places, weights), into) in around(picture.height, height, cubic_weights).0.iter().zip(made.rows_mut()) {
        going()?;
        let rows = places.map(|y| widened.row(y));
        for (at, into) in into.iter_mut().enumerate() {
            *into = mixed(weights, rows.map(|row| row[at]));
        }
    }
    Ok(made)
}

fn mixed(weights: &[f32; 4], values: [f64; 4]) -> f64 {
    let [a, b, c, d] = std::array::from_fn(|at| values[at] * f64::from(weights[at]));
    a + b + c + d
}
