//! Filters in the frequency domain.

use tch::{Device, Kind, Tensor};

/// Scales the frequencies of a B×C×H×W tensor by `low` in a rectangle around frequency 0, and by `high` elsewhere. For
/// the length of a side, `band` gives the start and the length of the rectangle along it. Frequency 0 is at half the
/// side.
pub fn scaled_frequencies(x: &Tensor, band: impl Fn(i64) -> (i64, i64), low: f64, high: f64) -> Tensor {
    let (dims, size): (&[i64], _) = (&[-2, -1], x.size());
    let (height, width) = (size[size.len() - 2], size[size.len() - 1]);
    let factors = Tensor::full([height, width], high, (Kind::Float, Device::Cpu));
    let ((top, rows), (left, columns)) = (band(height), band(width));
    // In place: the factors are new.
    let _ = factors.narrow(0, top, rows).narrow(1, left, columns).fill_(low);
    let frequencies = x.to_kind(Kind::Float).fft_fftn(None::<&[i64]>, dims, "backward").fft_fftshift(dims);
    let scaled = (frequencies * factors.to_device(x.device())).fft_ifftshift(dims);
    scaled.fft_ifftn(None::<&[i64]>, dims, "backward").real().to_kind(x.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::noise::randn;

    #[test]
    fn equal_factors_scale_the_picture() {
        let x = randn(1, &[2, 3, 7, 10]);
        let difference =
            (scaled_frequencies(&x, |side| (side / 2 - 3, 6), 1.5, 1.5) - &x * 1.5).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{difference}");
    }

    #[test]
    fn a_flat_picture_is_all_low() {
        let x = Tensor::ones([1, 1, 6, 9], (Kind::Float, Device::Cpu));
        let filtered = scaled_frequencies(&x, |side| (side / 2 - 1, 2), 0.25, 4.0);
        assert!((filtered - 0.25).abs().max().double_value(&[]) < 1e-5);
    }
}
