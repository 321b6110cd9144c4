//! From a display's values to the light of the scene.

use tch::Tensor;

/// sRGB's values (IEC 61966-2-1) as linear light. The last dimension holds the channels; a fourth one, the alpha, stays.
pub fn srgb_to_linear(image: &Tensor) -> Tensor {
    of_colours(image, |x| {
        let low = x / 12.92;
        let high = ((x.clamp_min(0.0) + 0.055) / 1.055).pow_tensor_scalar(2.4);
        low.where_self(&x.le(0.04045), &high)
    })
}

/// Hybrid log-gamma's values (BT.2100, table 5) as the light of the scene, 0 to 1 for 0 to 1; values above 1 go on. A fourth channel
/// stays.
pub fn hlg_to_linear(image: &Tensor) -> Tensor {
    const A: f64 = 0.17883277;
    const B: f64 = 0.28466892;
    const C: f64 = 0.55991072928;
    of_colours(image, |x| {
        let low = x.pow_tensor_scalar(2) / 3.0;
        let high = (((x.clamp_min(0.5) - C) / A).exp() + B) / 12.0;
        low.where_self(&x.le(0.5), &high)
    })
}

fn of_colours(image: &Tensor, linear: impl Fn(&Tensor) -> Tensor) -> Tensor {
    match image.size().last() {
        Some(4) => Tensor::cat(&[linear(&image.narrow(-1, 0, 3)), image.narrow(-1, 3, 1)], -1),
        _ => linear(image),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn floats(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.view(-1)).unwrap()
    }

    /// Figures from the formulas in double precision.
    #[test]
    fn curves_are_those_of_the_standards() {
        let x = Tensor::from_slice(&[0.0_f32, 0.02, 0.5, 1.0]).view([4, 1]);
        for (found, wanted) in floats(&srgb_to_linear(&x)).into_iter().zip([0.0, 0.001_547_988, 0.214_041_14, 1.0]) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
        for (found, wanted) in floats(&hlg_to_linear(&x)).into_iter().zip([0.0, 0.000_133_333, 0.083_333_336, 1.0]) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
        let alpha = Tensor::from_slice(&[0.5_f32, 0.5, 0.5, 0.5]).view([1, 4]);
        assert_eq!(floats(&srgb_to_linear(&alpha))[3], 0.5);
    }
}
