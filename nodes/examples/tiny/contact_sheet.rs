//! Many small pictures in one.

use std::path::Path;

use anyhow::{Context, Result};
use image::{Rgb, RgbImage, imageops};

/// Pixels between pictures; half of it frames each.
const GAP: u32 = 6;

/// Writes square pictures in rows, each with a frame of its colour.
pub(crate) fn write(pictures: &[(&[u8], [u8; 3])], size: u32, columns: u32, path: &Path) -> Result<()> {
    let rows = (pictures.len() as u32).div_ceil(columns);
    let step = size + GAP;
    let mut sheet = RgbImage::from_pixel(columns * step, rows * step, Rgb([255; 3]));
    for (&(pixels, frame), i) in pictures.iter().zip(0..) {
        let (x, y) = (i % columns * step, i / columns * step);
        let framed = RgbImage::from_pixel(size + GAP - 2, size + GAP - 2, Rgb(frame));
        imageops::replace(&mut sheet, &framed, (x + 1).into(), (y + 1).into());
        let picture = RgbImage::from_raw(size, size, pixels.to_vec()).context("a picture has another size")?;
        imageops::replace(&mut sheet, &picture, (x + GAP / 2).into(), (y + GAP / 2).into());
    }
    Ok(sheet.save(path)?)
}
