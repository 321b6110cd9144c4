//! Two workflows as graphs: what is in one alone, and what is other.

use indexmap::IndexMap;
use redraft_engine::prompt::{NodeId, Prompt};
use serde_json::{Value as Json, json};

use super::matching::counterparts;
use crate::compare::Place;
use crate::compare::changed::Changed;
use crate::out::plain;

/// How two workflows differ.
pub(super) struct Graphs {
    /// For nodes of A, those of B.
    pub(super) ids: IndexMap<NodeId, NodeId>,
    only_a: Vec<Place>,
    only_b: Vec<Place>,
    /// By node of B.
    pub(super) changed: Changed,
    /// The nodes with changes, sources first, with the id in A where that is another.
    places: Vec<(Place, Option<NodeId>)>,
}

impl Graphs {
    pub(super) fn of(a: &Prompt, b: &Prompt) -> Self {
        let ids = counterparts(a, b);
        let places = |prompt: &Prompt, is_alone: &dyn Fn(&NodeId) -> bool| {
            prompt.nodes.keys().filter(|id| is_alone(id)).map(|id| Place::of_node(id, prompt)).collect()
        };
        let changed = Changed::between(a, b, &ids);
        let before = |id: &NodeId| ids.iter().find(|(_, now)| *now == id).map(|(before, _)| before.clone());
        let changed_places =
            crate::compare::upstream::sources_first(b).into_iter().filter(|id| !changed.of(id).is_empty());
        let changed_places = changed_places.map(|id| (Place::of_node(id, b), before(id).filter(|before| before != id)));
        let changed_places = changed_places.collect();
        let matched: std::collections::HashSet<_> = ids.values().collect();
        Self {
            only_a: places(a, &|id| !ids.contains_key(id)),
            only_b: places(b, &|id| !matched.contains(id)),
            places: changed_places,
            changed,
            ids,
        }
    }

    pub(super) fn are_equal(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty() && self.changed.is_empty()
    }

    /// A line for each difference.
    pub(super) fn lines(&self) -> Vec<String> {
        let only = |places: &[Place], which: &str| {
            places.iter().map(|place| format!("{}: only in {which}", place.node_in_words())).collect::<Vec<_>>()
        };
        let mut lines = [only(&self.only_a, "A"), only(&self.only_b, "B")].concat();
        for (place, before) in &self.places {
            let before = before.as_ref().map(|id| format!(" (in A node {})", plain(id.as_str()))).unwrap_or_default();
            for change in self.changed.of(&place.node) {
                lines.push(format!("{}{before}: {}", place.node_in_words(), plain(&change.words)));
            }
        }
        lines
    }

    pub(super) fn to_json(&self) -> Json {
        let node = |place: &Place| json!({ "node": place.node, "class_type": place.class, "title": place.title });
        let nodes = |places: &[Place]| places.iter().map(node).collect::<Vec<_>>();
        let changed = self.places.iter().map(|(place, before)| {
            json!({
                "node": place.node, "node_in_a": before.as_ref().unwrap_or(&place.node), "class_type": place.class,
                "title": place.title, "changes": self.changed.of(&place.node),
            })
        });
        json!({
            "equal": self.are_equal(), "only_in_a": nodes(&self.only_a), "only_in_b": nodes(&self.only_b),
            "changed": changed.collect::<Vec<_>>(),
        })
    }
}
