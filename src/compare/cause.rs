//! Why outputs part: a parameter, a model file, a picture, what came in, or the numerics.

use redraft_engine::prompt::{Given, NodeId, Prompt};
use serde::Serialize;

use super::changed::{Change, ChangeKind, Changed};
use super::upstream::with_sources;
use super::{Deviation, Place};
use crate::dump::Taken;
use crate::out::plain;

/// How many of several nodes or changes are named.
const NAMED: usize = 3;

/// What parted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CauseKind {
    /// The content of a model file.
    Model,
    /// The node's own constants or links.
    Parameters,
    /// What comes in: nodes in front of it were changed, or part themselves.
    Inputs,
    /// Nothing that is known was changed.
    Numerics,
}

/// Why a node parts, with the words for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cause {
    pub(crate) kind: CauseKind,
    pub(crate) words: String,
}

/// What is known of two runs.
pub(crate) struct Evidence<'a> {
    /// The workflow that ran.
    pub(crate) prompt: &'a Prompt,
    /// What is other in it than in the one that is compared with.
    pub(crate) changed: &'a Changed,
    /// Everything that was compared, in execution order.
    pub(crate) deviations: &'a [Deviation],
    /// What the nodes gave.
    pub(crate) found: &'a Taken,
    /// Whether the workflow that is compared with was edited since its outputs were recorded.
    pub(crate) edited: bool,
    /// What else is other: device, threads, versions; empty if nothing is.
    pub(crate) surroundings: &'a str,
}

impl Evidence<'_> {
    /// Why this node is the first that parts.
    pub(crate) fn cause(&self, node: &NodeId) -> Cause {
        let needed = with_sources(self.prompt, [node]);
        let order = |kinds: &[ChangeKind]| {
            let all = self.changed.iter().filter(|(id, _)| needed.contains(id));
            let all = all.flat_map(|(id, changes)| changes.iter().map(move |change| (id.clone(), change)));
            all.filter(|(_, change)| kinds.contains(&change.kind)).collect::<Vec<_>>()
        };
        let models = order(&[ChangeKind::Model]);
        if !models.is_empty() {
            return Cause { kind: CauseKind::Model, words: self.in_words(&models, node) };
        }
        let all = order(&[ChangeKind::Parameter, ChangeKind::Link, ChangeKind::Picture]);
        let (own, before): (Vec<_>, Vec<_>) = all.into_iter().partition(|(id, _)| id == node);
        match (own.is_empty(), before.is_empty()) {
            (true, true) => self.unchanged(node),
            (true, false) => Cause { kind: CauseKind::Inputs, words: self.in_words(&before, node) },
            // What comes in may have parted as well.
            (false, true) => Cause { kind: CauseKind::Parameters, words: self.in_words(&own, node) },
            (false, false) => {
                let words = format!("{}; in front of it {}", self.in_words(&own, node), self.in_words(&before, node));
                Cause { kind: CauseKind::Parameters, words }
            }
        }
    }

    /// Nothing that it needs was changed, as far as is known.
    fn unchanged(&self, node: &NodeId) -> Cause {
        if self.edited {
            let words = "the case's workflow was edited after it was recorded; what it was is not known".to_owned();
            return Cause { kind: CauseKind::Parameters, words };
        }
        let needed = with_sources(self.prompt, [node]);
        let before = |deviation: &&Deviation| deviation.place.node != *node && needed.contains(&deviation.place.node);
        if let Some(earlier) = self.deviations.iter().filter(before).find(|deviation| deviation.is_any()) {
            let (place, size) = (&earlier.place, earlier.distance.size);
            let words = format!("{place} in front of it differs already, by {size:.3e}, which is tolerated there");
            return Cause { kind: CauseKind::Inputs, words };
        }
        let is_compared = |id: &NodeId| self.deviations.iter().any(|deviation| deviation.place.node == *id);
        // Models are nothing that can be compared; their files and the nodes that change them are known.
        let is_comparable = |id: &NodeId| self.found.has_outputs_of(id);
        let sources = self.prompt.nodes.get(node).into_iter().flat_map(|node| node.inputs.values());
        let mut unknown: Vec<_> =
            sources.filter_map(Given::source).filter(|id| is_comparable(id) && !is_compared(id)).collect();
        unknown.dedup();
        let rest = match unknown.is_empty() {
            true => "what comes in is equal, and no parameter and no file that is known of was changed".to_owned(),
            false => {
                let named: Vec<_> = unknown.iter().take(NAMED).map(|id| self.named(id)).collect();
                let more = if unknown.len() > NAMED { " and others" } else { "" };
                format!(
                    "no parameter and no file that is known of was changed; it may have begun in front of it, where nothing was compared: {}{more}",
                    named.join(", ")
                )
            }
        };
        let surroundings = if self.surroundings.is_empty() { "" } else { "; " };
        Cause { kind: CauseKind::Numerics, words: format!("{rest}{surroundings}{}", self.surroundings) }
    }

    /// Changes, each with its node if that is not the one in question.
    fn in_words(&self, changes: &[(NodeId, &Change)], node: &NodeId) -> String {
        let each = changes.iter().take(NAMED).map(|(id, change)| match id == node {
            true => plain(&change.words).into_owned(),
            false => format!("{}: {}", self.named(id), plain(&change.words)),
        });
        let mut words = each.collect::<Vec<_>>().join(", ");
        if changes.len() > NAMED {
            words.push_str(&format!(", and {} more", changes.len() - NAMED));
        }
        words
    }

    fn named(&self, id: &NodeId) -> String {
        Place::of_node(id, self.prompt).node_in_words()
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            CauseKind::Model => "a model file was changed",
            CauseKind::Parameters => "its parameters were changed",
            CauseKind::Inputs => "its inputs part first",
            CauseKind::Numerics => "the numerics part",
        };
        write!(f, "{kind}: {}", self.words)
    }
}
