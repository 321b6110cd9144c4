//! `cv2.cvtColor` of bytes, as far as it is needed.

use std::sync::LazyLock;

use anyhow::Result;

use super::raster::{Going, Raster};

/// Equals `cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)` in every byte.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(crate) fn grey(picture: &Raster<u8>, going: Going) -> Result<Raster<u8>> {
    picture.pixels(1, going, |pixel, into| into[0] = weighted(pixel, [9798, 19235, 3735], 15) as u8)
}

/// Equals the first channel of `cv2.cvtColor(picture, cv2.COLOR_BGR2LAB)` in every byte: how light, of 255.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(crate) fn lightness(picture: &Raster<u8>, going: Going) -> Result<Raster<u8>> {
    const SCALE: i64 = (116 * 255 + 50) / 100;
    const SHIFT: i64 = -((16 * 255 * (1 << 15) + 50) / 100);
    let linear = &*LINEAR;
    picture.pixels(1, going, |pixel, into| {
        let pixel: [u16; 3] = std::array::from_fn(|channel| linear[usize::from(pixel[channel])]);
        // Blue, green, red.
        let light = weighted(&pixel, [296, 2929, 871], 12);
        let light = SCALE * i64::from(cube_root(light)) + SHIFT;
        into[0] = ((light + (1 << 14)) >> 15).clamp(0, 255) as u8;
    })
}

/// Equals the third channel of `cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)`: the largest of the channels.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(crate) fn value(picture: &Raster<u8>, going: Going) -> Result<Raster<u8>> {
    picture.pixels(1, going, |pixel, into| into[0] = pixel.iter().copied().max().unwrap_or(0))
}

/// A sum of three channels with weights in 2ⁿths, rounded.
fn weighted<T: Copy + Into<u32>>(pixel: &[T], weights: [u32; 3], bits: u32) -> u32 {
    let sum: u32 = pixel.iter().zip(weights).map(|(channel, weight)| (*channel).into() * weight).sum();
    (sum + (1 << (bits - 1))) >> bits
}

/// sRGB's bytes as light in 2040ths.
static LINEAR: LazyLock<[u16; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| {
        let x = byte as f64 / 255.0;
        let light = if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) };
        (255.0 * 8.0 * light).round_ties_even() as u16
    })
});

/// CIE's cube root of light in 2040ths, in 32768ths.
fn cube_root(light: u32) -> u32 {
    let x = f64::from(light) / 2040.0;
    let root = if x < 0.008856 { x * 7.787 + 0.13793103448275862 } else { x.cbrt() };
    (root * 32768.0).round_ties_even() as u32
}
