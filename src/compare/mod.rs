//! What nodes gave in one run against what they gave in another: how far they are apart, where, and why.

pub(crate) mod cause;
pub(crate) mod changed;
mod measure;
mod place;
mod saved;
mod unexpected;
pub(crate) mod upstream;
mod values;

use std::collections::HashMap;

use redraft_engine::prompt::{NodeId, Prompt};
use serde_json::{Value as Json, json};

pub(crate) use self::measure::{Distance, distance};
pub(crate) use self::place::Place;
pub(crate) use self::saved::{PICTURE_STEP, SavedPicture, of_pictures, with_alpha};
use self::unexpected::unexpected;
use self::upstream::sources_first;
use self::values::of_values;
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

/// Everything that is expected against what was found under the same keys, and what was found besides of the outputs of which something is
/// expected: each behind the nodes that it needs. `prompt` says what the nodes are.
pub(crate) fn compare(expected: &Taken, found: &Taken, tolerance: f64, prompt: &Prompt) -> Vec<Deviation> {
    compare_with(expected, found, &[], tolerance, prompt)
}

/// The same, where of `listed` outputs, each a node and a slot, nothing else may be found either.
pub(crate) fn compare_with(
    expected: &Taken,
    found: &Taken,
    listed: &[(&NodeId, usize)],
    tolerance: f64,
    prompt: &Prompt,
) -> Vec<Deviation> {
    let deviation =
        |key: &str, distance| Deviation { key: key.to_owned(), place: Place::of_key(key, prompt), distance, tolerance };
    let mut all = Vec::with_capacity(expected.tensors.len() + expected.plain.len());
    for (key, expected) in &expected.tensors {
        let distance = found.tensors.get(key).map_or_else(Distance::no_output, |found| distance(expected, found));
        all.push(deviation(key, distance));
    }
    for (key, expected) in &expected.plain {
        let distance = found.plain.get(key).map_or_else(Distance::no_output, |found| of_values(expected, found));
        all.push(deviation(key, distance));
    }
    all.extend(unexpected(expected, found, listed, prompt).map(|key| deviation(key, Distance::unexpected())));
    sort(&mut all, prompt, &found.order);
    all
}

/// Sorts by the links of the prompt, each behind the nodes that it needs: results that were at hand are told in another order. What is in
/// no prompt comes last, in the order in which it was done.
pub(crate) fn sort(deviations: &mut [Deviation], prompt: &Prompt, done: &[NodeId]) {
    let mut place: HashMap<&NodeId, usize> = HashMap::new();
    for (number, id) in sources_first(prompt).into_iter().chain(done).enumerate() {
        place.entry(id).or_insert(number);
    }
    deviations.sort_by_key(|deviation| place.get(&deviation.place.node).copied().unwrap_or(usize::MAX));
}

/// The largest of all; infinite where values or shapes differ.
pub(crate) fn largest(deviations: &[Deviation]) -> f64 {
    let sizes = deviations.iter().map(|deviation| deviation.distance.size);
    sizes.map(|size| if size.is_nan() { f64::INFINITY } else { size }).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use redraft_engine::prompt::{Given, PromptNode};

    use super::*;

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

    #[test]
    fn sources_come_first_whatever_the_order_of_the_run() {
        let node = |from: Option<&str>| PromptNode {
            class_type: "X".to_owned(),
            inputs: from.map(|from| ("x".to_owned(), Given::link(from, 0))).into_iter().collect(),
            title: None,
        };
        let nodes = [("9".into(), node(Some("5"))), ("5".into(), node(None))];
        let taken = |value: f64| Taken {
            plain: ["9/0", "5/0", "5.1/0"].map(|key| (key.to_owned(), json!(value))).into_iter().collect(),
            order: ["9", "5.1", "5"].map(NodeId::from).to_vec(),
            ..Taken::default()
        };
        let prompt = Prompt { nodes: nodes.into_iter().collect() };
        let all = compare(&taken(0.5), &taken(0.25), 0.5, &prompt);
        let keys: Vec<_> = all.iter().map(|deviation| deviation.key.as_str()).collect();
        assert_eq!(keys, ["5/0", "9/0", "5.1/0"]);
        assert!(all.iter().all(|deviation| deviation.is_any() && !deviation.is_beyond()));
    }
}
