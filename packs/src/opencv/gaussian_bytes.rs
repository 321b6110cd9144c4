//! `cv2.GaussianBlur` of bytes.

use anyhow::{Result, ensure};

use super::gaussian::{kernel, reflected};
use super::raster::{Going, Raster};

/// Equals `cv2.GaussianBlur(picture, (side, side), sigma)` on bytes in every byte, for odd sides above 1 and a sigma above 0: weights in
/// 256ths, whose errors are passed on to the next weight. Edges are reflected about the pixel at the edge.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(crate) fn blur(picture: &Raster<u8>, side: usize, sigma: f64, going: Going) -> Result<Raster<u8>> {
    ensure!(side % 2 == 1 && sigma > 0.0, "cannot blur with {side} pixels and a sigma of {sigma}; set both higher");
    if side == 1 {
        return picture.corner(picture.width, picture.height, going);
    }
    let weights = weights(side, sigma);
    let (channels, half) = (picture.channels, side as i64 / 2);
    let mut across: Raster<u16> = Raster::blank(picture.width, picture.height, channels)?;
    for (row, into) in picture.rows().zip(across.rows_mut()) {
        going()?;
        for (x, into) in into.chunks_exact_mut(channels).enumerate() {
            let mut sums = [0_u32; 4];
            for (tap, weight) in weights.iter().enumerate() {
                let place = reflected(x as i64 + tap as i64 - half, picture.width) * channels;
                let pixel = &row[place..][..channels];
                sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += weight * u32::from(*value));
            }
            into.iter_mut().zip(sums).for_each(|(into, sum)| *into = u16::try_from(sum).unwrap_or(u16::MAX));
        }
    }
    let mut made = Raster::blank(picture.width, picture.height, channels)?;
    let mut sums = vec![0_u32; picture.stride()];
    for (y, into) in made.rows_mut().enumerate() {
        going()?;
        sums.fill(1 << 15);
        for (tap, weight) in weights.iter().enumerate() {
            let row = across.row(reflected(y as i64 + tap as i64 - half, picture.height));
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * u32::from(*value));
        }
        into.iter_mut().zip(&sums).for_each(|(into, sum)| *into = (sum >> 16).min(255) as u8);
    }
    Ok(made)
}

/// In 256ths; they add up to 256.
fn weights(side: usize, sigma: f64) -> Vec<u32> {
    let half = side / 2;
    let mut weights = vec![0_u32; side];
    let (mut error, mut sum) = (0.0, 0);
    for (at, weight) in kernel(side, sigma).into_iter().take(half).enumerate() {
        let wanted = weight * 256.0 + error;
        let whole = wanted.round_ties_even();
        error = wanted - whole;
        weights[at] = whole as u32;
        weights[side - 1 - at] = whole as u32;
        sum += 2 * whole as u32;
    }
    weights[half] = 256_u32.saturating_sub(sum);
    weights
}
