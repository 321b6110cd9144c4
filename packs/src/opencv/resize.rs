//! `cv2.resize` of pictures with eight bits a channel.

use anyhow::Result;

use super::raster::{Going, Raster};
use super::taps::scale;
use super::{resize_area, resize_cubic, resize_fixed};

/// How new pixels are made of old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// `INTER_NEAREST`: the pixel at the new one's upper left corner.
    Nearest,
    /// `INTER_AREA`: the mean of what a new pixel covers. Where a side grows, a mixture of two neighbours.
    Area,
    /// `INTER_CUBIC` (a = -0.75), without antialiasing.
    Cubic,
    /// `INTER_LANCZOS4`: eight neighbours along each side, without antialiasing.
    Lanczos4,
}

/// IPP resizes pictures with at least so many pixels along each side, where it is asked for cubic interpolation.
const LEAST_OF_IPP: usize = 4;

/// Equals `cv2.resize(picture, (width, height), interpolation=…)` on bytes, in every byte.
///
/// # Errors
/// If a side is 0, there is too little memory, or `going` fails.
pub(crate) fn resize(
    picture: &Raster<u8>,
    (width, height): (usize, usize),
    method: Method,
    going: Going,
) -> Result<Raster<u8>> {
    let (old_width, old_height) = (picture.width, picture.height);
    if (old_width, old_height) == (width, height) {
        return picture.corner(width, height, going);
    }
    match method {
        Method::Nearest => nearest(picture, width, height, going),
        Method::Area if scale(old_width, width) >= 1.0 && scale(old_height, height) >= 1.0 => {
            resize_area::shrink(picture, width, height, going)
        }
        Method::Area => resize_fixed::two_neighbours(picture, width, height, going),
        Method::Cubic if old_width.min(old_height) >= LEAST_OF_IPP => {
            resize_cubic::cubic(picture, width, height, going)
        }
        Method::Cubic => resize_fixed::cubic(picture, width, height, going),
        Method::Lanczos4 => resize_fixed::lanczos4(picture, width, height, going),
    }
}

fn nearest(picture: &Raster<u8>, width: usize, height: usize, going: Going) -> Result<Raster<u8>> {
    let channels = picture.channels;
    let old = |at: usize, old: usize, new: usize| ((at as f64 * scale(old, new)).floor() as usize).min(old - 1);
    let columns: Vec<usize> = (0..width).map(|x| old(x, picture.width, width)).collect();
    let mut made = Raster::blank(width, height, channels)?;
    for (y, into) in made.rows_mut().enumerate() {
        going()?;
        let row = picture.row(old(y, picture.height, height));
        for (x, into) in columns.iter().zip(into.chunks_exact_mut(channels)) {
            into.copy_from_slice(&row[x * channels..][..channels]);
        }
    }
    Ok(made)
}
