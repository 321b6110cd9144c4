//! Filters over the neighbourhood of each pixel: correlation with a kernel, and the minimum or maximum in a square.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

/// A Gaussian over the square from -1 to 1, with `2 · radius + 1` values a side, which add up to 1. As in ComfyUI's
/// `gaussian_kernel`, `sigma` is in units of half the square's side, not in pixels.
pub fn gaussian_square(radius: i64, sigma: f64) -> Tensor {
    let places = Tensor::linspace(-1.0, 1.0, 2 * radius + 1, (Kind::Float, Device::Cpu));
    let (x, y) = (places.unsqueeze(1), places.unsqueeze(0));
    let distance = (&x * &x + &y * &y).sqrt();
    let values = (-(&distance * &distance) / (2.0 * sigma * sigma)).exp();
    let sum = values.sum(Kind::Float);
    values / sum
}

/// Correlates every channel of B×H×W×C with a square kernel. Edges are padded by reflection, which does not repeat the
/// outermost row or column.
///
/// # Errors
/// If the picture is not larger than the kernel's radius.
pub fn correlate(images: &Tensor, kernel: &Tensor) -> Result<Tensor> {
    let size = images.size();
    let (height, width, channels) = (size[1], size[2], size[3]);
    let radius = kernel.size()[0] / 2;
    ensure!(
        radius < height && radius < width,
        "a radius of {radius} is too large for a picture of {width} × {height} pixels; set one below {}",
        height.min(width)
    );
    let kernel = kernel.repeat([channels, 1, 1]).unsqueeze(1);
    let padded = images.permute([0, 3, 1, 2]).pad([radius; 4], "reflect", None);
    let filtered = padded.conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], channels);
    Ok(filtered.permute([0, 2, 3, 1]))
}

/// The minimum or the maximum of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Least,
    Greatest,
}

/// The minimum or maximum of N×C×H×W in a square of `side` pixels around each pixel. Pixels outside of the picture do
/// not count.
///
/// If `side` is even, the square of the minimum reaches further up and left, that of the maximum further down and
/// right. Applied one after the other they do not shift a picture.
pub fn extreme(samples: &Tensor, side: i64, end: End) -> Tensor {
    let further = side / 2;
    let (before, after, beyond) = match end {
        End::Least => (further, side - further - 1, f64::INFINITY),
        End::Greatest => (side - further - 1, further, f64::NEG_INFINITY),
    };
    let padded = samples.pad([before, after, before, after], "constant", beyond);
    slide(&slide(&padded, 3, side, end), 2, side, end)
}

/// The minima or maxima of all windows of `length` along one dimension, computed from those of windows half as long.
fn slide(values: &Tensor, dim: i64, length: i64, end: End) -> Tensor {
    let pick = |a: &Tensor, b: &Tensor| match end {
        End::Least => a.minimum(b),
        End::Greatest => a.maximum(b),
    };
    // `wide` holds the minima or maxima of windows of `reach` values.
    let widen = |wide: &Tensor, by: i64| {
        let left = wide.size()[dim as usize] - by;
        pick(&wide.narrow(dim, 0, left), &wide.narrow(dim, by, left))
    };
    let (mut wide, mut reach) = (values.shallow_clone(), 1);
    while 2 * reach <= length {
        wide = widen(&wide, reach);
        reach *= 2;
    }
    if reach < length { widen(&wide, length - reach) } else { wide }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).view([1, 1, 1, -1])
    }

    /// Figures by hand: windows of 3 and of 4.
    #[test]
    fn windows_take_the_extremes_of_what_is_inside() {
        let values = row(&[3.0, 1.0, 4.0, 1.0, 5.0, 9.0]);
        let list = |t: Tensor| Vec::<f32>::try_from(t.flatten(0, -1)).unwrap();
        assert_eq!(list(extreme(&values, 3, End::Greatest)), [3.0, 4.0, 4.0, 5.0, 9.0, 9.0]);
        assert_eq!(list(extreme(&values, 4, End::Least)), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(list(extreme(&values, 4, End::Greatest)), [4.0, 4.0, 5.0, 9.0, 9.0, 9.0]);
        assert_eq!(list(extreme(&values, 99, End::Greatest)), [9.0; 6]);
    }

    #[test]
    fn a_picture_must_be_larger_than_the_radius() {
        let small = Tensor::zeros([1, 3, 8, 3], (Kind::Float, Device::Cpu));
        let error = correlate(&small, &gaussian_square(3, 1.0)).unwrap_err().to_string();
        assert_eq!(error, "a radius of 3 is too large for a picture of 8 × 3 pixels; set one below 3");
        let flat = correlate(&(small + 0.5), &gaussian_square(2, 1.0)).unwrap();
        assert!((flat - 0.5).abs().max().double_value(&[]) < 1e-6);
    }
}
