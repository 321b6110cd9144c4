//! What the samplers' steps have in common.

use tch::{Kind, Tensor};

/// The slope dx/dσ of the probability flow at the state `x`, from the denoised latent behind it (Karras et al. 2022).
pub(super) fn slope(x: &Tensor, sigma: f64, denoised: &Tensor) -> Tensor {
    (x - denoised) / sigma
}

/// λ = −ln σ, half the logarithm of the signal-to-noise ratio; ∞ at σ = 0.
pub(super) fn lambda(sigma: f64) -> f64 {
    -sigma.ln()
}

/// A step down to `next` taken as one further down and noise back up: (σ_down, σ_up), σ_down² + σ_up² = next². With
/// `eta` 0 there is no noise; with 1 it is as much as the stochastic process has between the levels.
///
/// For a float32 state every operation is rounded to float32, as in ComfyUI: where σ_down is small, it is the difference
/// of two almost equal squares.
pub(super) fn ancestral_split(sigma: f64, next: f64, eta: f64, kind: Kind) -> (f64, f64) {
    if eta == 0.0 {
        return (next, 0.0);
    }
    // libtorch's own powers: they differ from multiplication and square root in the last bit.
    let square = |level: &Tensor| level.pow_tensor_scalar(2);
    let (from, to) = (scalar(sigma, kind), scalar(next, kind));
    let between = square(&to) * (square(&from) - square(&to)) / square(&from);
    // Where levels rise there is no root; ComfyUI's minimum then is σ'.
    let up = (between.pow_tensor_scalar(0.5) * eta).fmin(&to);
    let down = (square(&to) - square(&up)).pow_tensor_scalar(0.5);
    (down.double_value(&[]), up.double_value(&[]))
}

/// The level at `r` of the way from `sigma` to `next` in λ, both above 0.
///
/// For a float32 state in ComfyUI's float32 operations, because two things depend on the last bits: which timestep is
/// nearest, and where on its path Brownian noise is taken (it is another one a millionth further on).
pub(super) fn middle_level(sigma: f64, next: f64, r: f64, kind: Kind) -> f64 {
    level_between(sigma, next, kind, |start, end| start + (end - start) * r)
}

/// [`middle_level`] for the methods where ComfyUI interpolates with `lerp`, which rounds differently.
pub(super) fn interpolated_level(sigma: f64, next: f64, r: f64, kind: Kind) -> f64 {
    level_between(sigma, next, kind, |start, end| start.lerp(end, r))
}

fn level_between(sigma: f64, next: f64, kind: Kind, choose: impl Fn(&Tensor, &Tensor) -> Tensor) -> f64 {
    let lambda = |sigma: f64| scalar(sigma, kind).log().neg();
    choose(&lambda(sigma), &lambda(next)).neg().exp().double_value(&[])
}

/// A number as a tensor without dimensions, float32 for a float32 state and float64 otherwise, on the CPU.
pub(super) fn scalar(value: f64, kind: Kind) -> Tensor {
    Tensor::from(value).to_kind(if kind == Kind::Float { Kind::Float } else { Kind::Double })
}

/// The consecutive pairs of noise levels, numbered.
pub(super) fn steps(sigmas: &[f64]) -> impl Iterator<Item = (usize, f64, f64)> + '_ {
    sigmas.windows(2).enumerate().map(|(step, pair)| (step, pair[0], pair[1]))
}

/// For each node the coefficients (constant first) of the Lagrange polynomial that is 1 there and 0 at the others.
pub(super) fn lagrange_basis(nodes: &[f64]) -> Vec<Vec<f64>> {
    let polynomial = |own: usize| {
        let mut coefficients = vec![1.0];
        for other in (0..nodes.len()).filter(|&other| other != own) {
            let scale = 1.0 / (nodes[own] - nodes[other]);
            let mut product = vec![0.0; coefficients.len() + 1];
            for (power, coefficient) in coefficients.iter().enumerate() {
                product[power + 1] += coefficient * scale;
                product[power] -= coefficient * scale * nodes[other];
            }
            coefficients = product;
        }
        coefficients
    };
    (0..nodes.len()).map(polynomial).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestral_split_keeps_the_variance() {
        let split = |next, eta| ancestral_split(2.0, next, eta, Kind::Double);
        let (down, up) = split(1.0, 1.0);
        assert!((down - 0.5).abs() < 1e-15 && (up - 0.75f64.sqrt()).abs() < 1e-15);
        assert_eq!(split(1.0, 0.0), (1.0, 0.0));
        assert_eq!(split(0.0, 1.0), (0.0, 0.0));
        assert_eq!(split(1.0, 9.0), (0.0, 1.0));
        assert_eq!(split(3.0, 1.0), (0.0, 3.0));
    }

    #[test]
    fn the_middle_is_the_geometric_mean() {
        assert!((middle_level(8.0, 2.0, 0.5, Kind::Double) - 4.0).abs() < 1e-14);
        assert!((middle_level(8.0, 1.0, 1.0 / 3.0, Kind::Float) - 4.0).abs() < 1e-6);
        assert!((interpolated_level(8.0, 1.0, 2.0 / 3.0, Kind::Float) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn lagrange_polynomials_are_one_at_their_node_and_zero_at_others() {
        let nodes = [0.5, -1.0, 3.0, 2.0];
        for (own, polynomial) in lagrange_basis(&nodes).iter().enumerate() {
            for (place, node) in nodes.iter().enumerate() {
                let value: f64 = polynomial.iter().enumerate().map(|(power, c)| c * node.powi(power as i32)).sum();
                assert!((value - f64::from(u8::from(place == own))).abs() < 1e-12);
            }
        }
    }
}
