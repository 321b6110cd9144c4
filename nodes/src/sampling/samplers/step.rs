//! What the samplers' steps have in common.

use tch::Tensor;

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
pub(super) fn ancestral_split(sigma: f64, next: f64, eta: f64) -> (f64, f64) {
    if eta == 0.0 {
        return (next, 0.0);
    }
    let up = (eta * (next.powi(2) * (sigma.powi(2) - next.powi(2)) / sigma.powi(2)).sqrt()).min(next);
    ((next.powi(2) - up.powi(2)).sqrt(), up)
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
        let (down, up) = ancestral_split(2.0, 1.0, 1.0);
        assert!((down - 0.5).abs() < 1e-15 && (up - 0.75f64.sqrt()).abs() < 1e-15);
        assert_eq!(ancestral_split(2.0, 1.0, 0.0), (1.0, 0.0));
        assert_eq!(ancestral_split(2.0, 0.0, 1.0), (0.0, 0.0));
        assert_eq!(ancestral_split(2.0, 1.0, 9.0), (0.0, 1.0));
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
