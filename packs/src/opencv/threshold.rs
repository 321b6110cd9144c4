//! `cv2.threshold` of bytes.

use super::raster::Raster;

/// Equals the threshold that `cv2.threshold` finds with `THRESH_OTSU`: what lies above it is one of two groups that are as different as can
/// be. 0 if all values are the same.
pub(crate) fn otsu(picture: &Raster<u8>) -> u8 {
    let mut counts = [0_u64; 256];
    picture.values.iter().for_each(|value| counts[usize::from(*value)] += 1);
    let part = 1.0 / picture.values.len() as f64;
    let mean = counts.iter().enumerate().map(|(value, count)| value as f64 * *count as f64).sum::<f64>() * part;
    let epsilon = f64::from(f32::EPSILON);
    let (mut below, mut mean_below, mut largest, mut threshold) = (0.0, 0.0, 0.0, 0);
    for (value, count) in (0_u8..=255).zip(counts) {
        let here = count as f64 * part;
        mean_below *= below;
        below += here;
        let above = 1.0 - below;
        if f64::min(below, above) < epsilon || f64::max(below, above) > 1.0 - epsilon {
            continue;
        }
        mean_below = (mean_below + f64::from(value) * here) / below;
        let mean_above = (mean - below * mean_below) / above;
        let variance = below * above * (mean_below - mean_above) * (mean_below - mean_above);
        if variance > largest {
            (largest, threshold) = (variance, value);
        }
    }
    threshold
}

/// `high` for what is above the threshold, and `low` for all else.
pub(crate) fn threshold(picture: &mut Raster<u8>, threshold: u8, low: u8, high: u8) {
    picture.values.iter_mut().for_each(|value| *value = if *value > threshold { high } else { low });
}
