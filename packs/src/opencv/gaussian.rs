//! `cv2.GaussianBlur` of float32.

use anyhow::{Result, ensure};

use super::raster::{Going, Raster};

/// Equals `cv2.GaussianBlur(picture, (0, 0), sigma)` on float32 in every bit, on a CPU with FMA, if a row has a multiple of eight values.
/// Edges are reflected about the pixel at the edge.
///
/// # Errors
/// If sigma is not above 0, there is too little memory, or `going` fails.
pub(crate) fn blur(picture: &Raster<f32>, sigma: f64, going: Going) -> Result<Raster<f32>> {
    ensure!(sigma > 0.0, "cannot blur with a sigma of {sigma}; set it above 0");
    let kernel: Vec<f32> = kernel((sigma * 8.0 + 1.0).round_ties_even() as usize | 1, sigma)
        .into_iter()
        .map(|weight| weight as f32)
        .collect();
    if kernel.len() == 1 {
        return picture.corner(picture.width, picture.height, going);
    }
    let across = along_rows(picture, &kernel, going)?;
    along_columns(&across, &kernel, going)
}

/// A Gaussian of `side` weights, which is odd. They add up to 1.
pub(super) fn kernel(side: usize, sigma: f64) -> Vec<f64> {
    let half = (side / 2) as f64;
    let weights: Vec<f64> =
        (0..side).map(|at| at as f64 - half).map(|x| (-0.5 * x * x / (sigma * sigma)).exp()).collect();
    let all: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / all).collect()
}

/// A place along a side of `count` pixels, reflected about the pixels at the ends.
pub(super) fn reflected(at: i64, count: usize) -> usize {
    let last = count.saturating_sub(1) as i64;
    if last == 0 {
        return 0;
    }
    let at = at.rem_euclid(2 * last);
    at.min(2 * last - at) as usize
}

fn along_rows(picture: &Raster<f32>, kernel: &[f32], going: Going) -> Result<Raster<f32>> {
    /// From the first to the last weight, or outwards from the middle if there are so few.
    const FEW: usize = 5;
    let (channels, half) = (picture.channels, kernel.len() / 2);
    let mut made = Raster::blank(picture.width, picture.height, channels)?;
    let places: Vec<usize> =
        (0..picture.width + 2 * half).map(|at| reflected(at as i64 - half as i64, picture.width) * channels).collect();
    let mut padded = vec![0.0_f32; places.len() * channels];
    let count = picture.stride();
    for (row, into) in picture.rows().zip(made.rows_mut()) {
        going()?;
        for (place, into) in places.iter().zip(padded.chunks_exact_mut(channels)) {
            into.copy_from_slice(&row[*place..][..channels]);
        }
        let shifted = |tap: usize| &padded[tap * channels..][..count];
        if kernel.len() <= FEW {
            let (left, right) = (shifted(half - 1), shifted(half + 1));
            for (at, (into, middle)) in into.iter_mut().zip(shifted(half)).enumerate() {
                *into = middle.mul_add(kernel[half], (left[at] + right[at]) * kernel[half + 1]);
            }
            for tap in 2..=half {
                add_both(into, (shifted(half - tap), shifted(half + tap)), kernel[half + tap]);
            }
        } else {
            into.iter_mut().zip(shifted(0)).for_each(|(into, value)| *into = value * kernel[0]);
            for (tap, weight) in kernel.iter().enumerate().skip(1) {
                into.iter_mut().zip(shifted(tap)).for_each(|(into, value)| *into = value.mul_add(*weight, *into));
            }
        }
    }
    Ok(made)
}

fn along_columns(picture: &Raster<f32>, kernel: &[f32], going: Going) -> Result<Raster<f32>> {
    let half = kernel.len() / 2;
    let mut made = Raster::blank(picture.width, picture.height, picture.channels)?;
    for (y, into) in made.rows_mut().enumerate() {
        going()?;
        let row = |offset: i64| picture.row(reflected(y as i64 + offset, picture.height));
        into.iter_mut().zip(row(0)).for_each(|(into, value)| *into = value * kernel[half]);
        for tap in 1..=half {
            add_both(into, (row(-(tap as i64)), row(tap as i64)), kernel[half + tap]);
        }
    }
    Ok(made)
}

/// Adds the weighted sum of two rows.
fn add_both(into: &mut [f32], (before, behind): (&[f32], &[f32]), weight: f32) {
    for ((into, before), behind) in into.iter_mut().zip(before).zip(behind) {
        *into = (before + behind).mul_add(weight, *into);
    }
}
