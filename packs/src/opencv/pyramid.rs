//! `cv2.pyrUp`.

use anyhow::Result;

use super::raster::{Going, Raster};

/// Equals `cv2.pyrUp(picture)` on bytes in every byte: twice as wide and high, smoothed.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(crate) fn up(picture: &Raster<u8>, going: Going) -> Result<Raster<u8>> {
    let (channels, height) = (picture.channels, picture.height);
    let mut widened: Raster<u16> = Raster::blank(2 * picture.width, height, channels)?;
    for (row, into) in picture.rows().zip(widened.rows_mut()) {
        going()?;
        widen(row, channels, into);
    }
    let mut made = Raster::blank(2 * picture.width, 2 * height, channels)?;
    for (y, into) in made.rows_mut().enumerate() {
        going()?;
        let (at, is_between) = (y / 2, y % 2 == 1);
        let above = if at == 0 { 1.min(height - 1) } else { at - 1 };
        let [above, here, below] = [above, at, (at + 1).min(height - 1)].map(|y| widened.row(y));
        for (x, into) in into.iter_mut().enumerate() {
            let [above, here, below] = [above[x], here[x], below[x]].map(u32::from);
            let sum = if is_between { 4 * (here + below) } else { above + 6 * here + below };
            *into = ((sum + 32) >> 6) as u8;
        }
    }
    Ok(made)
}

/// Twice as wide, in eighths.
fn widen(row: &[u8], channels: usize, into: &mut [u16]) {
    let width = row.len() / channels;
    for (x, into) in into.chunks_exact_mut(2 * channels).enumerate() {
        for channel in 0..channels {
            let value = |x: usize| u16::from(row[x * channels + channel]);
            let here = value(x);
            let (on, between) = if width == 1 {
                (8 * here, 8 * here)
            } else if x == 0 {
                (6 * here + 2 * value(1), 4 * (here + value(1)))
            } else if x == width - 1 {
                (value(x - 1) + 7 * here, 8 * here)
            } else {
                (value(x - 1) + 6 * here + value(x + 1), 4 * (here + value(x + 1)))
            };
            into[channel] = on;
            into[channels + channel] = between;
        }
    }
}
