//! `cv2.remap` of bytes.

use anyhow::Result;

use super::raster::{Going, Raster};

/// Equals `cv2.remap(picture, places, None, cv2.INTER_LINEAR)` in every byte, on a CPU with FMA: each new pixel is taken from its place,
/// (x, y), between four old ones. Beyond the picture is 0.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(crate) fn linear(picture: &Raster<u8>, places: &Raster<[f32; 2]>, going: Going) -> Result<Raster<u8>> {
    let channels = picture.channels;
    let mut made = Raster::blank(places.width, places.height, channels)?;
    for (places, into) in places.rows().zip(made.rows_mut()) {
        going()?;
        for ([x, y], into) in places.iter().zip(into.chunks_exact_mut(channels)) {
            let (left, top) = (x.floor(), y.floor());
            let (across, down) = (x - left, y - top);
            for (channel, into) in into.iter_mut().enumerate() {
                let value = |right: i64, below: i64| {
                    let (x, y) = (left as i64 + right, top as i64 + below);
                    let inside = x >= 0 && y >= 0 && x < picture.width as i64 && y < picture.height as i64;
                    if inside { f32::from(picture.row(y as usize)[x as usize * channels + channel]) } else { 0.0 }
                };
                let between = |a: f32, b: f32, part: f32| (b - a).mul_add(part, a);
                let above = between(value(0, 0), value(1, 0), across);
                let below = between(value(0, 1), value(1, 1), across);
                *into = between(above, below, down).round_ties_even() as u8;
            }
        }
    }
    Ok(made)
}
