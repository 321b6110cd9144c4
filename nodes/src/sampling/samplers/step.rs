//! Formulas that the sampling methods share.

use tch::Tensor;

use crate::diffusion::real::Real;

/// The slope dx/dσ of the probability flow at the state `x`, from the denoised latent behind it (Karras et al. 2022).
pub(super) fn slope(x: &Tensor, sigma: Real, denoised: &Tensor) -> Tensor {
    (x - denoised) / sigma
}

/// λ = −ln σ, half the logarithm of the signal-to-noise ratio; ∞ at σ = 0.
pub(super) fn lambda(sigma: Real) -> Real {
    -sigma.ln()
}

/// The level σ = e^(−λ).
pub(super) fn level(lambda: Real) -> Real {
    (-lambda).exp()
}

/// α = σ·e^λ. This is 1 up to rounding; ComfyUI's formulas contain it, and so its rounding.
pub(super) fn alpha(sigma: Real, lambda: Real) -> Real {
    sigma * lambda.exp()
}

/// Splits a step to `next` into a step to the lower level σ_down and noise of the level σ_up, with σ_down² + σ_up² =
/// next². Returns (σ_down, σ_up). With `eta` 0 there is no noise; with 1 it is that of the stochastic process between
/// the levels.
pub(super) fn ancestral_split(sigma: Real, next: Real, eta: f64) -> (Real, Real) {
    if eta == 0.0 {
        return (next, next * 0.0);
    }
    let square = |level: Real| level.powf(2.0);
    let between = square(next) * (square(sigma) - square(next)) / square(sigma);
    // If levels rise, the root is NaN, and the minimum is σ'.
    let up = next.min(between.powf(0.5) * eta);
    ((square(next) - square(up)).powf(0.5), up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn double(value: f64) -> Real {
        Real::new(value, Kind::Double)
    }

    #[test]
    fn ancestral_split_keeps_the_variance() {
        let split = |sigma: f64, next: f64, eta| {
            let (down, up) = ancestral_split(double(sigma), double(next), eta);
            (down.value(), up.value())
        };
        let (down, up) = split(2.0, 1.0, 1.0);
        assert!((down - 0.5).abs() < 1e-15 && (up - 0.75f64.sqrt()).abs() < 1e-15);
        assert_eq!(split(2.0, 1.0, 0.0), (1.0, 0.0));
        assert_eq!(split(2.0, 0.0, 1.0), (0.0, 0.0));
        assert_eq!(split(2.0, 1.0, 9.0), (0.0, 1.0));
        assert_eq!(split(2.0, 3.0, 1.0), (0.0, 3.0));
    }

    #[test]
    fn levels_and_lambdas_are_inverse() {
        assert!((level(lambda(double(3.7))).value() - 3.7).abs() < 1e-14);
        assert!((level(lambda(Real::new(3.7, Kind::Float))).value() - 3.7).abs() < 1e-6);
        assert_eq!(level(lambda(double(0.0))), 0.0);
    }
}
