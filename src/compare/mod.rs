//! What nodes gave in one run against what they gave in another: how far they are apart, where, and why.

pub(crate) mod cause;
pub(crate) mod changed;
mod measure;
mod place;
mod saved;
pub(crate) mod upstream;

use std::collections::HashMap;

use redraft_engine::prompt::{NodeId, Prompt};
use serde_json::{Value as Json, json};

pub(crate) use self::measure::{Distance, distance};
pub(crate) use self::place::Place;
pub(crate) use self::saved::{PICTURE_STEP, SavedPicture, of_pictures, with_alpha};
use crate::dump::Taken;

/// How far one output is from what is expected.
#[derive(Debug)]
pub(crate) struct Deviation {
    /// `node/slot[/part]`, or the file of a saved picture.
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) distance: Distance,
    /// What the distance may be.
    pub(crate) tolerance: f64,
}

impl Deviation {
    pub(crate) fn is_beyond(&self) -> bool {
        self.distance.size.is_nan() || self.distance.size > self.tolerance
    }

    /// Not equal, whether that is allowed or not.
    pub(crate) fn is_any(&self) -> bool {
        self.distance.size != 0.0
    }

    pub(crate) fn to_json(&self) -> Json {
        let Distance { size, mean, at, what } = &self.distance;
        json!({
            "key": self.key, "difference": size, "tolerance": self.tolerance, "what": what, "mean": mean,
            "node": self.place.node, "class_type": self.place.class, "title": self.place.title, "slot": self.place.slot,
            "part": self.place.part, "position": at.as_ref().map(|at| &at.position),
            "expected": at.as_ref().map(|at| at.expected), "found": at.as_ref().map(|at| at.found),
        })
    }
}

impl std::fmt::Display for Deviation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.distance.what)?;
        if self.tolerance > 0.0 { write!(f, ", tolerance {:.1e}", self.tolerance) } else { Ok(()) }
    }
}

/// Everything that is expected against what was found under the same keys, in the order in which the nodes were done. `prompt` says
/// what the nodes are.
pub(crate) fn compare(expected: &Taken, found: &Taken, tolerance: f64, prompt: &Prompt) -> Vec<Deviation> {
    let deviation =
        |key: &str, distance| Deviation { key: key.to_owned(), place: Place::of_key(key, prompt), distance, tolerance };
    let mut all = Vec::with_capacity(expected.tensors.len() + expected.plain.len());
    for (key, expected) in &expected.tensors {
        let distance = found.tensors.get(key).map_or_else(Distance::no_output, |found| distance(expected, found));
        all.push(deviation(key, distance));
    }
    for (key, expected) in &expected.plain {
        let found = found.plain.get(key).unwrap_or(&Json::Null);
        let distance = match equal(expected, found) {
            true => Distance::NONE,
            false => Distance::of_values(expected, found),
        };
        all.push(deviation(key, distance));
    }
    sort(&mut all, &found.order);
    all
}

/// Sorts by the order in which nodes were done; those that were not come last.
pub(crate) fn sort(deviations: &mut [Deviation], order: &[NodeId]) {
    let mut place: HashMap<&NodeId, usize> = HashMap::new();
    for (number, id) in order.iter().enumerate() {
        place.entry(id).or_insert(number);
    }
    deviations.sort_by_key(|deviation| place.get(&deviation.place.node).copied().unwrap_or(usize::MAX));
}

/// The largest of all; infinite where values or shapes differ.
pub(crate) fn largest(deviations: &[Deviation]) -> f64 {
    let sizes = deviations.iter().map(|deviation| deviation.distance.size);
    sizes.map(|size| if size.is_nan() { f64::INFINITY } else { size }).fold(0.0, f64::max)
}

/// Whether two JSON values are equal; numbers up to the precision of float32.
fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(x), Some(y)) => a == b || (x - y).abs() <= 1e-6 * x.abs().max(1.0),
            _ => false,
        },
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| equal(v, w)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_compared_by_meaning() {
        assert!(equal(&json!([1, 0.8, "a"]), &json!([1, 0.800_000_001, "a"])));
        assert!(!equal(&json!([1]), &json!([1, 2])) && !equal(&json!(1), &json!("1")));
    }

    #[test]
    fn what_differs_comes_in_the_order_of_the_run() {
        let tensor = |value: f32| tch::Tensor::from_slice(&[value, 1.0]);
        let taken = |a: f32, b: f32, text: &str| Taken {
            tensors: [("2/0".to_owned(), tensor(a)), ("10/0/samples".to_owned(), tensor(b))].into_iter().collect(),
            plain: [("7/1".to_owned(), json!(text))].into_iter().collect(),
            order: ["10", "7", "2"].map(NodeId::from).to_vec(),
        };
        let all = compare(&taken(0.0, 0.5, "x"), &taken(0.0, 0.25, "y"), 0.3, &Prompt::default());
        let keys: Vec<_> = all.iter().map(|deviation| deviation.key.as_str()).collect();
        assert_eq!(keys, ["10/0/samples", "7/1", "2/0"]);
        assert_eq!(all.iter().map(Deviation::is_beyond).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(all.iter().map(Deviation::is_any).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(largest(&all), f64::INFINITY);
    }
}
