//! What a case says that it expects, and its files or its workflow do not have.

use redraft_engine::prompt::{NodeId, Prompt};

use crate::case::{Case, TENSORS, VALUES};
use crate::compare::Place;
use crate::dump::Taken;
use crate::exit::{Outcome, Stop};
use crate::out::plain;

/// The outputs that `case.json` lists.
pub(super) fn listed(case: &Case) -> Vec<(&NodeId, usize)> {
    case.file.nodes.iter().flat_map(|boundary| boundary.slots.iter().map(|slot| (&boundary.node, *slot))).collect()
}

/// Nodes that the workflow must have.
///
/// # Errors
/// If it lacks one that `case.json` lists, or of which a picture is expected.
pub(super) fn nodes_are_there(case: &Case, prompt: &Prompt) -> Outcome<()> {
    let listed = case.file.nodes.iter().map(|boundary| &boundary.node);
    let mut all = listed.chain(case.saved.iter().map(|picture| &picture.node));
    match all.find(|node| !prompt.nodes.contains_key(*node)) {
        Some(node) => Err(Stop::wrong(format!(
            "case.json expects something of node {}, which the workflow does not have; record the case anew",
            plain(node.as_str())
        ))),
        None => Ok(()),
    }
}

/// Holds what was found against what the case should expect.
///
/// # Errors
/// If something is expected of a node that the workflow does not have, or nothing of an output that `case.json` lists and that gives something.
pub(super) fn nothing_is_lost(case: &Case, found: &Taken, prompt: &Prompt) -> Outcome<()> {
    let keys = || case.expected.tensors.keys().chain(case.expected.plain.keys());
    for key in keys() {
        let Place { node, .. } = Place::of_key(key, prompt);
        // Nodes that others made at run time are in no workflow.
        if !prompt.nodes.contains_key(&node) && !found.order.contains(&node) {
            let node = plain(node.as_str());
            return Err(Stop::wrong(format!(
                "a value of node {node} is expected, which the workflow does not have; record the case anew"
            )));
        }
    }
    for (node, slot) in listed(case) {
        let is_of = |key: &String| {
            let place = Place::of_key(key, prompt);
            place.node == *node && place.slot == Some(slot)
        };
        let gives = found.tensors.keys().chain(found.plain.keys()).any(is_of) || !found.order.contains(node);
        if gives && !keys().any(is_of) {
            let place = Place { slot: Some(slot), ..Place::of_node(node, prompt) };
            return Err(Stop::wrong(format!(
                "{place}: case.json lists it, and neither {TENSORS} nor {VALUES} holds what is expected of it; record the case anew"
            )));
        }
    }
    Ok(())
}
