//! `cv2.erode`, `cv2.dilate` and `cv2.morphologyEx` with kernels of 3 × 3.

use anyhow::Result;

use super::raster::{Going, Raster};

/// Places around a pixel: right, down.
pub(crate) type Offset = (isize, isize);

/// The pixel and its eight neighbours.
pub(crate) const SQUARE: [Offset; 9] = [(-1, -1), (0, -1), (1, -1), (-1, 0), (0, 0), (1, 0), (-1, 1), (0, 1), (1, 1)];

/// Equals `cv2.erode` in every byte: the least of the values at the offsets; those beyond the picture do not count.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(crate) fn erode(picture: &Raster<u8>, offsets: &[Offset], going: Going) -> Result<Raster<u8>> {
    around(picture, offsets, going, u8::MAX, u8::min)
}

/// Equals `cv2.dilate` in every byte: the largest of the values at the offsets; those beyond the picture do not count.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(crate) fn dilate(picture: &Raster<u8>, offsets: &[Offset], going: Going) -> Result<Raster<u8>> {
    around(picture, offsets, going, u8::MIN, u8::max)
}

fn around(
    picture: &Raster<u8>,
    offsets: &[Offset],
    going: Going,
    start: u8,
    join: fn(u8, u8) -> u8,
) -> Result<Raster<u8>> {
    let channels = picture.channels;
    let mut made = Raster::blank(picture.width, picture.height, channels)?;
    for (y, into) in made.rows_mut().enumerate() {
        going()?;
        into.fill(start);
        for (right, down) in offsets {
            let y = y.wrapping_add_signed(*down);
            if y >= picture.height {
                continue;
            }
            let row = picture.row(y);
            for (x, into) in into.chunks_exact_mut(channels).enumerate() {
                let x = x.wrapping_add_signed(*right);
                if x < picture.width {
                    let pixel = &row[x * channels..][..channels];
                    into.iter_mut().zip(pixel).for_each(|(into, value)| *into = join(*into, *value));
                }
            }
        }
    }
    Ok(made)
}
