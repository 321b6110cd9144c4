//! How far two tensors are apart.

use tch::{Device, Kind, Tensor};

/// How far something is from what is expected.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distance {
    /// The largest difference over the largest expected value or 1; infinite where a value, a shape, an element
    /// type or a NaN is another.
    pub(crate) size: f64,
    /// The mean difference over the same.
    pub(crate) mean: f64,
    /// Where the largest difference is.
    pub(crate) at: Option<At>,
    /// The same in words.
    pub(crate) what: String,
}

/// One element of a tensor, and what it was in both.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct At {
    pub(crate) position: Vec<i64>,
    pub(crate) expected: f64,
    pub(crate) found: f64,
}

impl Distance {
    pub(crate) const NONE: Self = Self { size: 0.0, mean: 0.0, at: None, what: String::new() };

    fn infinite(what: String) -> Self {
        Self { size: f64::INFINITY, mean: f64::INFINITY, at: None, what }
    }

    pub(crate) fn no_output() -> Self {
        Self::infinite("no such output".to_owned())
    }

    /// Of something of which nothing was expected.
    pub(crate) fn unexpected() -> Self {
        Self::infinite("it is there, and nothing was expected there".to_owned())
    }

    /// What could not be read or made.
    pub(crate) fn unreadable(why: impl std::fmt::Display) -> Self {
        Self::infinite(why.to_string())
    }
}

/// How far a tensor is from what is expected. NaN equals NaN.
pub(crate) fn distance(expected: &Tensor, found: &Tensor) -> Distance {
    if expected.size() != found.size() {
        let what = format!("expected the shape {:?}, found {:?}", expected.size(), found.size());
        return Distance::infinite(what);
    }
    if expected.kind() != found.kind() {
        let what = format!("expected the type {}, found {}", type_name(expected.kind()), type_name(found.kind()));
        return Distance::infinite(what);
    }
    if expected.numel() == 0 {
        return Distance::NONE;
    }
    let [expected, found] = [expected, found].map(|tensor| tensor.to_device(Device::Cpu));
    let same = expected.eq_tensor(&found).logical_or(&expected.isnan().logical_and(&found.isnan()));
    let exact = (expected.kind() == Kind::Int64).then(|| (&expected - &found).abs().to_kind(Kind::Double));
    let [expected, found] = [expected, found].map(|tensor| tensor.to_kind(Kind::Double));
    let mut difference = (&expected - &found).abs();
    // Large whole numbers lose their last digits as floats.
    if let Some(exact) = exact {
        difference = difference.maximum(&exact);
    }
    let difference = difference.masked_fill(&same, 0.0);
    let finite = expected.abs().masked_fill(&expected.isfinite().logical_not(), 0.0);
    let scale = finite.max().double_value(&[]).max(1.0);
    let largest = difference.max().double_value(&[]);
    if largest == 0.0 {
        return Distance::NONE;
    }
    let size = if largest.is_nan() { f64::INFINITY } else { largest / scale };
    let mean = difference.mean(Kind::Double).double_value(&[]) / scale;
    // libtorch takes a NaN for the largest of all.
    let place = difference.argmax(None, false).int64_value(&[]);
    let value = |tensor: &Tensor| tensor.flatten(0, -1).double_value(&[place]);
    let at = At { position: unravelled(place, &expected.size()), expected: value(&expected), found: value(&found) };
    let what = format!(
        "largest difference {size:.3e} at {:?} (expected {}, found {}), mean {mean:.3e}",
        at.position,
        short(at.expected),
        short(at.found)
    );
    Distance { size, mean, at: Some(at), what }
}

/// What safetensors calls an element type.
fn type_name(kind: Kind) -> String {
    match kind {
        Kind::Float => "F32".to_owned(),
        Kind::Double => "F64".to_owned(),
        Kind::Half => "F16".to_owned(),
        Kind::BFloat16 => "BF16".to_owned(),
        Kind::Int64 => "I64".to_owned(),
        Kind::Int => "I32".to_owned(),
        Kind::Uint8 => "U8".to_owned(),
        Kind::Bool => "BOOL".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A number with six digits.
fn short(value: f64) -> String {
    if value == 0.0 || (1e-3..1e6).contains(&value.abs()) { format!("{value:.6}") } else { format!("{value:.5e}") }
}

/// The position of element `place` of a tensor in row-major order.
fn unravelled(mut place: i64, shape: &[i64]) -> Vec<i64> {
    let mut position: Vec<i64> = Vec::with_capacity(shape.len());
    for side in shape.iter().rev() {
        position.push(place % side);
        place /= side;
    }
    position.reverse();
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(a: &[f32], b: &[f32]) -> f64 {
        distance(&Tensor::from_slice(a), &Tensor::from_slice(b)).size
    }

    #[test]
    fn differences_are_measured_against_the_largest_value() {
        assert_eq!(size(&[0.5, 0.25], &[0.5, 0.5]), 0.25);
        assert_eq!(size(&[-4.0, 0.0], &[-4.0, 1.0]), 0.25);
        assert_eq!(size(&[f32::NAN, f32::INFINITY], &[f32::NAN, f32::INFINITY]), 0.0);
        assert_eq!(size(&[1.0], &[f32::NAN]), f64::INFINITY);
        assert_eq!(size(&[1.0], &[1.0, 1.0]), f64::INFINITY);
    }

    #[test]
    fn what_is_no_number_is_as_far_from_a_number_as_can_be() {
        let infinite = f32::INFINITY;
        for (a, b) in
            [([1.0, infinite], [1.0, 2.0]), ([1.0, 2.0], [1.0, infinite]), ([1.0, infinite], [1.0, -infinite])]
        {
            assert_eq!(size(&a, &b), f64::INFINITY, "{a:?} {b:?}");
        }
    }

    #[test]
    fn element_types_and_the_last_digits_of_whole_numbers_count() {
        let tensor = Tensor::from_slice(&[1.0_f32, 2.0]);
        let other = distance(&tensor.to_kind(Kind::Double), &tensor);
        assert_eq!((other.size, other.what.as_str()), (f64::INFINITY, "expected the type F64, found F32"));
        let whole = |value: i64| Tensor::from_slice(&[value]);
        assert!(distance(&whole(i64::MAX), &whole(i64::MAX - 1)).size > 0.0);
        assert!(distance(&whole(i64::MIN), &whole(0)).size > 0.0);
        assert_eq!(distance(&whole(i64::MAX), &whole(i64::MAX)), Distance::NONE);
    }

    #[test]
    fn the_largest_difference_has_a_place() {
        let expected = Tensor::zeros([2, 3, 4], (Kind::Float, tch::Device::Cpu));
        let found = expected.copy();
        let _ = found.get(1).get(2).get(3).fill_(0.25);
        let _ = found.get(0).get(1).get(0).fill_(-0.5);
        let distance = distance(&expected, &found);
        assert_eq!(distance.at, Some(At { position: vec![0, 1, 0], expected: 0.0, found: -0.5 }));
        assert_eq!(distance.size, 0.5);
        assert!(
            distance.what.starts_with("largest difference 5.000e-1 at [0, 1, 0] (expected 0.000000, found -0.500000)")
        );
        let _ = found.get(1).get(0).get(1).fill_(f64::NAN);
        assert_eq!(super::distance(&expected, &found).at.map(|at| at.position), Some(vec![1, 0, 1]));
    }
}
