//! How far two plain values are apart.

use redraft_engine::error::beginning;
use serde_json::{Number, Value as Json};

use super::Distance;

/// Numbers with a fraction are apart by their difference over the larger of what is expected and 1. Everything else, whole numbers too, is
/// either equal or not.
pub(super) fn of_values(expected: &Json, found: &Json) -> Distance {
    let size = apart(expected, found);
    if size == 0.0 {
        return Distance::NONE;
    }
    let (expected, found) = (expected.to_string(), found.to_string());
    let what = format!("expected {}, found {}", beginning(&expected), beginning(&found));
    Distance { size, mean: size, at: None, what }
}

fn apart(a: &Json, b: &Json) -> f64 {
    let largest = |sizes: &mut dyn Iterator<Item = f64>| sizes.fold(0.0, f64::max);
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => of_numbers(a, b),
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            largest(&mut a.iter().zip(b).map(|(a, b)| apart(a, b)))
        }
        (Json::Object(a), Json::Object(b)) if a.len() == b.len() => {
            largest(&mut a.iter().map(|(key, a)| b.get(key).map_or(f64::INFINITY, |b| apart(a, b))))
        }
        (a, b) if a == b => 0.0,
        _ => f64::INFINITY,
    }
}

fn of_numbers(a: &Number, b: &Number) -> f64 {
    match (a.as_f64(), b.as_f64()) {
        _ if a == b => 0.0,
        (Some(x), Some(y)) if a.is_f64() && b.is_f64() => (x - y).abs() / x.abs().max(1.0),
        // `8` is `8.0`.
        (Some(x), Some(y)) if (a.is_f64() || b.is_f64()) && x == y => 0.0,
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_numbers_are_compared_exactly_and_others_by_how_far_they_are_apart() {
        assert_eq!(apart(&json!([1, 0.5, "a", {"b": null}]), &json!([1, 0.5, "a", {"b": null}])), 0.0);
        assert_eq!(apart(&json!([1, 0.5]), &json!([1, 0.75])), 0.25);
        assert_eq!(apart(&json!({"a": 4.0}), &json!({"a": 5.0})), 0.25);
        assert_eq!(apart(&json!(8), &json!(8.0)), 0.0);
        for (a, b) in [
            (json!(123_456_789), json!(123_456_790)),
            (json!(u64::MAX), json!(u64::MAX - 1)),
            (json!(8), json!(8.000_000_1)),
            (json!(1), json!("1")),
            (json!([1]), json!([1, 2])),
            (json!({"a": 1}), json!({"b": 1})),
            (json!(null), json!(0.0)),
        ] {
            assert_eq!(apart(&a, &b), f64::INFINITY, "{a} {b}");
        }
        let distance = of_values(&json!(0.5), &json!(0.500_000_1));
        assert!(distance.size > 0.0 && distance.size < 1e-6, "what differs is not equal");
        assert_eq!(distance.what, "expected 0.5, found 0.5000001");
    }
}
