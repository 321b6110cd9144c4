//! What an output has more than was expected of it: elements of a list, parts of a value.

use std::collections::HashSet;

use redraft_engine::prompt::{NodeId, Prompt};

use super::Place;
use crate::dump::Taken;

/// The outputs, each a node and a slot, that some keys belong to.
fn outputs<'k>(keys: impl Iterator<Item = &'k String>, prompt: &Prompt) -> HashSet<(NodeId, usize)> {
    keys.filter_map(|key| output(key, prompt)).collect()
}

fn output(key: &str, prompt: &Prompt) -> Option<(NodeId, usize)> {
    let place = Place::of_key(key, prompt);
    Some((place.node, place.slot?))
}

/// The keys that were found of outputs of which something else is expected, and of the `listed` ones. Plain values of an output count only
/// where plain values are expected of it, or it is listed: a dump has none.
pub(super) fn unexpected<'f>(
    expected: &'f Taken,
    found: &'f Taken,
    listed: &[(&NodeId, usize)],
    prompt: &'f Prompt,
) -> impl Iterator<Item = &'f str> {
    let listed = || listed.iter().map(|(node, slot)| ((*node).clone(), *slot));
    let mut plain = outputs(expected.plain.keys(), prompt);
    plain.extend(listed());
    let mut all = outputs(expected.tensors.keys(), prompt);
    all.extend(plain.iter().cloned());
    let is_in = move |key: &str, of: &HashSet<_>| output(key, prompt).is_some_and(|output| of.contains(&output));
    let tensors = found.tensors.keys().filter(|key| !expected.tensors.contains_key(*key));
    let values = found.plain.keys().filter(|key| !expected.plain.contains_key(*key));
    let tensors = tensors.filter(move |key| is_in(key, &all));
    tensors.chain(values.filter(move |key| is_in(key, &plain))).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tch::Tensor;

    use super::*;

    fn taken(tensors: &[&str], plain: &[&str]) -> Taken {
        Taken {
            tensors: tensors.iter().map(|key| ((*key).to_owned(), Tensor::from_slice(&[1.0]))).collect(),
            plain: plain.iter().map(|key| ((*key).to_owned(), json!(1))).collect(),
            ..Taken::default()
        }
    }

    #[test]
    fn more_elements_and_parts_of_an_output_are_found() {
        let (nodes, node) = (Prompt::default(), NodeId::from("5"));
        let expected = taken(&["1/0", "2/0/samples"], &["3/0"]);
        let found = taken(
            &["1/0", "1/0/#1", "1/1", "2/0/samples", "2/0/noise_mask", "4/0", "5/2"],
            &["3/0", "3/0/#1", "2/0/batch_index", "5/2/x", "5/3"],
        );
        let keys: Vec<_> = unexpected(&expected, &found, &[(&node, 2)], &nodes).collect();
        assert_eq!(keys, ["1/0/#1", "2/0/noise_mask", "5/2", "3/0/#1", "5/2/x"]);
        assert_eq!(unexpected(&expected, &expected, &[], &nodes).count(), 0);
    }
}
