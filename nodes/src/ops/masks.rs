//! Masks: their shape, their size, growing and shrinking them.

use anyhow::{Result, ensure};
use tch::Tensor;

/// A mask of any number of dimensions from two on, as B×H×W.
///
/// # Errors
/// If it has fewer than two dimensions.
pub fn batched(mask: &Tensor) -> Result<Tensor> {
    let size = mask.size();
    ensure!(size.len() >= 2, "a mask is shaped {size:?}, but masks are height x width or batch x height x width");
    let (height, width) = (size[size.len() - 2], size[size.len() - 1]);
    let count = size[..size.len() - 2].iter().product::<i64>();
    Ok(mask.reshape([count, height, width]))
}

/// A mask as B×`height`×`width`, bilinear.
///
/// # Errors
/// If it has no pixels.
pub fn resized(mask: &Tensor, height: i64, width: i64) -> Result<Tensor> {
    let mask = batched(mask)?;
    ensure!(mask.numel() > 0, "a mask is shaped {:?} and has no pixels: connect another", mask.size());
    Ok(mask.unsqueeze(1).upsample_bilinear2d([height, width], false, None, None).squeeze_dim(1))
}

/// A mask B×H×W grown by `steps` steps, or shrunk if negative. In each step a pixel becomes the maximum (when
/// shrinking, the minimum) of itself and its neighbours: the four nearest ones with `diamond`, otherwise all eight.
///
/// # Errors
/// If it has no pixels.
pub fn grown(mask: &Tensor, steps: i64, diamond: bool) -> Result<Tensor> {
    let (_, height, width) = mask.size3()?;
    ensure!(mask.numel() > 0, "a mask is shaped {:?} and has no pixels: connect another", mask.size());
    let greatest = |mask: &Tensor, rows: i64, columns: i64| {
        mask.max_pool2d([rows, columns], [1, 1], [rows / 2, columns / 2], [1, 1], false)
    };
    let sign = if steps < 0 { -1.0 } else { 1.0 };
    let mut mask = mask.unsqueeze(1) * sign;
    // After height + width steps even a diamond has reached every corner.
    for _ in 0..steps.unsigned_abs().min((height + width).unsigned_abs()) {
        mask = match diamond {
            true => greatest(&mask, 3, 1).maximum(&greatest(&mask, 1, 3)),
            false => greatest(&mask, 3, 3),
        };
    }
    Ok((mask * sign).squeeze_dim(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tch::{Device, Kind};

    fn point() -> Tensor {
        let mask = Tensor::zeros([1, 5, 6], (Kind::Float, Device::Cpu));
        let _ = mask.narrow(1, 2, 1).narrow(2, 2, 1).fill_(1.0);
        mask
    }

    fn sum(mask: &Tensor) -> f64 {
        mask.sum(Kind::Float).double_value(&[])
    }

    #[test]
    fn a_point_grows_to_a_diamond_or_a_square() {
        assert_eq!(sum(&grown(&point(), 1, true).unwrap()), 5.0);
        assert_eq!(sum(&grown(&point(), 1, false).unwrap()), 9.0);
        assert_eq!(sum(&grown(&point(), 2, true).unwrap()), 13.0);
        assert_eq!(sum(&grown(&point(), 16384, true).unwrap()), 30.0);
    }

    #[test]
    fn edges_neither_grow_nor_shrink_a_mask() {
        let full = point().ones_like();
        assert_eq!(grown(&full, -3, false).unwrap(), full);
        assert_eq!(sum(&grown(&grown(&point(), 1, false).unwrap(), -1, false).unwrap()), 1.0);
        assert_eq!(grown(&point(), 0, true).unwrap(), point());
    }

    #[test]
    fn shapes() {
        let four = point().unsqueeze(1);
        assert_eq!(batched(&four).unwrap(), point());
        assert!(batched(&Tensor::from_slice(&[1.0])).is_err());
        assert_eq!(resized(&point(), 3, 4).unwrap().size(), [1, 3, 4]);
        assert!(resized(&point().narrow(2, 0, 0), 3, 4).is_err());
    }
}
