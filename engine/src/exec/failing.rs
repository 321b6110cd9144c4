//! How a run fails or is cancelled.

use indexmap::IndexMap;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::NodeIndex;

use crate::error::NodeError;
use crate::event::Event;
use crate::failure::{Cause, Failure};
use crate::links::way_round;

use super::Outcome;
use super::run::Run;

impl Run<'_, '_> {
    /// No node is ready and no call waits: nodes made at run time depend on each other.
    pub(super) fn circular(&mut self) -> Outcome {
        let waiting = self.agenda.waiting();
        let groups = kosaraju_scc(&waiting);
        let cycle = groups.into_iter().filter(|group| group.len() > 1 || waiting.contains_edge(group[0], group[0]));
        let start = cycle.flatten().min_by_key(|at| (!self.nodes.is_made(waiting[*at]), waiting[*at]));
        let start = start.unwrap_or_default();
        let way = way_round(&waiting, start).into_iter().map(|at| self.nodes.step(waiting[at]).id.clone()).collect();
        self.failed(waiting[start], Cause::Cycle(way), "Dependency cycle detected".to_owned())
    }

    pub(super) fn stopped(&mut self, at: NodeIndex, error: NodeError) -> Outcome {
        let (cause, message) = match error {
            NodeError::Cancelled => {
                let root = self.nodes.step(self.nodes.root(at));
                let (node, class) = (root.id.clone(), root.class.schema.class.clone());
                self.observer.event(Event::Interrupted { node, class, executed: self.executed.clone() });
                return Outcome::Cancelled;
            }
            NodeError::OutOfMemory(message) => (Cause::OutOfMemory, message),
            NodeError::Unsupported(message) => (Cause::Unsupported, message),
            NodeError::NodeInput(message) => (Cause::NodeInput, message),
            NodeError::Failed(message) => (Cause::Failed, message),
        };
        self.failed(at, cause, message)
    }

    fn failed(&self, at: NodeIndex, cause: Cause, message: String) -> Outcome {
        let (root, step) = (self.nodes.step(self.nodes.root(at)), self.nodes.step(at));
        let inside = self.nodes.is_made(at) && !matches!(cause, Cause::Cycle(_));
        Outcome::Failed(Box::new(Failure {
            node: root.id.clone(),
            class: root.class.schema.class.clone(),
            title: Some(root.title.clone()),
            inside: inside.then(|| (step.id.clone(), step.class.schema.class.clone())),
            inputs: if matches!(cause, Cause::Cycle(_)) { IndexMap::new() } else { self.gather(at).shown() },
            cause,
            message,
            executed: self.executed.clone(),
        }))
    }
}
