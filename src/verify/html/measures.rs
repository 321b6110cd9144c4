//! How alike two pictures are: PSNR and SSIM.

use tch::{Kind, Tensor};

/// The side and the spread of SSIM's Gaussian window, in pixels, and its two constants (Wang et al. 2004).
const WINDOW: i64 = 11;
const SPREAD: f64 = 1.5;
const K: (f64, f64) = (0.01, 0.03);

/// Peak signal-to-noise ratio in dB of tensors of one shape whose values span `peak`; infinite for equal ones.
pub(super) fn psnr(expected: &Tensor, found: &Tensor, peak: f64) -> f64 {
    let error = (expected - found).square().mean(Kind::Double).double_value(&[]);
    10.0 * (peak * peak / error).log10()
}

/// Structural similarity of B × C × H × W pictures whose values span `peak`: the mean over all places where a Gaussian window of 11 × 11
/// pixels lies inside (of the largest odd size that fits, in smaller pictures). 1 for equal ones.
pub(super) fn ssim(expected: &Tensor, found: &Tensor, peak: f64) -> f64 {
    let (batch, channels, height, width) = match expected.size()[..] {
        [batch, channels, height, width] if height > 0 && width > 0 => (batch, channels, height, width),
        _ => return f64::NAN,
    };
    let fitting = height.min(width).min(WINDOW);
    let weights = window(if fitting % 2 == 0 { fitting - 1 } else { fitting });
    let planes = |x: &Tensor| x.to_kind(Kind::Double).reshape([batch * channels, 1, height, width]);
    let mean = |x: &Tensor| weighted(&weighted(x, 3, &weights), 2, &weights);
    let (x, y) = (planes(expected), planes(found));
    let (mean_x, mean_y) = (mean(&x), mean(&y));
    let spread = |a: &Tensor, b: &Tensor, means: &Tensor| mean(&(a * b)) - means;
    let (xx, yy, xy) = (&mean_x * &mean_x, &mean_y * &mean_y, &mean_x * &mean_y);
    let (var_x, var_y, covariance) = (spread(&x, &x, &xx), spread(&y, &y, &yy), spread(&x, &y, &xy));
    let (c1, c2) = ((K.0 * peak).powi(2), (K.1 * peak).powi(2));
    let like = (xy * 2.0 + c1) * (covariance * 2.0 + c2) / ((xx + yy + c1) * (var_x + var_y + c2));
    like.mean(Kind::Double).double_value(&[])
}

/// The weighted mean of neighbours along a dimension, wherever all of them are there. (libtorch's convolution of doubles is far slower.)
fn weighted(x: &Tensor, dim: i64, weights: &[f64]) -> Tensor {
    let length = x.size()[dim as usize] - weights.len() as i64 + 1;
    let shifted = weights.iter().zip(0..).map(|(weight, start)| x.narrow(dim, start, length) * *weight);
    shifted.reduce(|sum, next| sum + next).unwrap_or_else(|| x.shallow_clone())
}

/// A Gaussian window of `side` weights whose sum is 1.
fn window(side: i64) -> Vec<f64> {
    let middle = (side - 1) as f64 / 2.0;
    let weights = (0..side).map(|at| (-(at as f64 - middle).powi(2) / (2.0 * SPREAD * SPREAD)).exp());
    let sum: f64 = weights.clone().sum();
    weights.map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use redraft_nodes::ops::noise::randn;
    use tch::Device;

    use super::*;

    #[test]
    fn equal_pictures_are_alike_and_noise_is_not() {
        let x = randn(1, &[2, 3, 24, 20]).sigmoid();
        let y = randn(2, &[2, 3, 24, 20]).sigmoid();
        assert_eq!(psnr(&x, &x, 1.0), f64::INFINITY);
        assert!((ssim(&x, &x, 1.0) - 1.0).abs() < 1e-12);
        assert!(ssim(&x, &y, 1.0).abs() < 0.1, "{}", ssim(&x, &y, 1.0));
        let near = &x + 0.01;
        // 20 · log10(1 / 0.01)
        assert!((psnr(&x, &near, 1.0) - 40.0).abs() < 1e-3);
        assert!(ssim(&x, &near, 1.0) > 0.99);
    }

    /// Two constant pictures: the variances vanish and the means alone are left.
    #[test]
    fn constant_pictures_are_compared_by_their_means() {
        let picture = |value: f64| Tensor::full([1, 1, 5, 4], value, (Kind::Double, Device::Cpu));
        let (a, b, c1) = (0.5, 0.25, 1e-4);
        let expected = (2.0 * a * b + c1) / (a * a + b * b + c1);
        assert!((ssim(&picture(a), &picture(b), 1.0) - expected).abs() < 1e-9);
    }
}
