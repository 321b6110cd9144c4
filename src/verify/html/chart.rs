//! The histogram of differences, as SVG.

use tch::{Kind, Tensor};

const BINS: usize = 32;
/// The chart's size without its labels, in units of its own.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 96.0;

/// How many values differ by how much, from `differences`, which are not negative; the scale is logarithmic in both directions. Nothing if
/// all are zero.
pub(super) fn histogram(differences: &Tensor) -> Option<String> {
    let values = differences.to_kind(Kind::Double).flatten(0, -1).nan_to_num(0.0, f64::MAX, 0.0);
    let nonzero = values.masked_select(&values.gt(0.0));
    let (all, count) = (values.numel(), nonzero.numel());
    if count == 0 {
        return None;
    }
    let decades = nonzero.log10();
    let (mut low, mut high) = (decades.min().double_value(&[]), decades.max().double_value(&[]));
    if high - low < 0.1 {
        (low, high) = (low - 0.5, high + 0.5);
    }
    let places = ((decades - low) / (high - low) * BINS as f64).floor().clamp(0.0, (BINS - 1) as f64);
    let bins = places.to_kind(Kind::Int64).bincount(None::<&Tensor>, BINS as i64);
    let counts: Vec<f64> = (0..BINS as i64).map(|bin| bins.double_value(&[bin])).collect();
    let tallest = counts.iter().fold(1.0, |most: f64, count| most.max(*count)).ln_1p();
    let width = WIDTH / BINS as f64;
    let mut bars = String::new();
    for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        let height = count.ln_1p() / tallest * HEIGHT;
        bars.push_str(&format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{count} values</title></rect>",
            bin as f64 * width,
            HEIGHT - height,
            width - 1.0
        ));
    }
    let label = |x: f64, anchor: &str, decade: f64| {
        format!("<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{:.1e}</text>", HEIGHT + 14.0, 10f64.powf(decade))
    };
    Some(format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"histogram of absolute differences\">{bars}\
         <line x1=\"0\" y1=\"{HEIGHT}\" x2=\"{WIDTH}\" y2=\"{HEIGHT}\"/>{}{}{}</svg>\
         <figcaption>absolute difference of {count} of {all} values ({} are equal); both scales logarithmic</figcaption>",
        HEIGHT + 18.0,
        label(0.0, "start", low),
        label(WIDTH / 2.0, "middle", (low + high) / 2.0),
        label(WIDTH, "end", high),
        all - count
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_counted_by_their_size() {
        assert_eq!(histogram(&Tensor::from_slice(&[0.0, 0.0])), None);
        let chart = histogram(&Tensor::from_slice(&[0.0, 1e-6, 1e-6, 1e-3, f64::NAN])).unwrap_or_default();
        assert!(chart.contains("3 of 5 values (2 are equal)"), "{chart}");
        assert!(chart.contains(">2 values<") && chart.contains(">1 values<") && chart.contains(">1.0e-6<"), "{chart}");
        assert!(histogram(&Tensor::from_slice(&[0.5])).is_some_and(|chart| chart.contains("1 of 1 values")));
    }
}
