//! A latent told by a few numbers: three of its values and the spread of all.

/// The first value, the third after the middle, the last, and the standard deviation.
pub type Figures = [f64; 4];

/// How far a figure may be off, over the largest of the four or 1.
const TOLERANCE: f64 = 1e-4;
/// The highest noise level of Stable Diffusion 1.x.
pub const HIGHEST: f64 = 14.6;

pub fn figures(values: &[f32]) -> Figures {
    let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let spread = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    [values[0], values[values.len() / 2 + 3], values[values.len() - 1], spread]
}

/// `highest` is the noise level that sampling starts from. The first states are noise, up to 4, at that level, and float32 rounds
/// them to 2^-24 of it; kernels for different CPUs do so at different places, about four times in a step.
pub fn differs(found: &[f32], expected: &Figures, highest: f64) -> bool {
    let scale = expected.iter().fold(1f64, |most, value| most.max(value.abs()));
    let rounding = 4.0 * 4.0 * highest * f64::from(f32::EPSILON) / 2.0;
    let near = |(found, expected): (&f64, &f64)| (found - expected).abs() <= TOLERANCE * scale + rounding;
    !figures(found).iter().zip(expected).all(near)
}
