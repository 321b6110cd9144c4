//! The nodes of all subgraph instances in one list, in the editor's order.

use std::collections::{HashMap, HashSet, VecDeque};

use super::bounds::{MAX_DEPTH, MAX_NODES, too_deep, too_many};
use super::graph::{Graph, Graphs, Mode, Role};
use super::resolve::Scope;
use super::types::ReadError;

/// The nodes of all subgraph instances, flattened.
#[derive(Default)]
pub(super) struct Flat {
    pub(super) scopes: Vec<Scope>,
    /// The scope that an instance opens, by its scope and node.
    pub(super) inner: HashMap<(usize, usize), usize>,
    /// Scope and node of all that are no instances, in the order in which they are written.
    pub(super) leaves: Vec<(usize, usize)>,
}

impl Flat {
    pub(super) fn new(graphs: &Graphs) -> Result<Self, ReadError> {
        let mut flat = Self::default();
        let root = graphs.all.len() - 1;
        flat.scopes.push(Scope { graph: root, parent: None, prefix: String::new(), off: false });
        flat.expand(graphs, 0, execution_order(&graphs.all[root]), 0)?;
        Ok(flat)
    }

    fn expand(
        &mut self,
        graphs: &Graphs,
        scope: usize,
        order: impl IntoIterator<Item = usize>,
        depth: usize,
    ) -> Result<(), ReadError> {
        if depth > MAX_DEPTH {
            return Err(too_deep("subgraphs"));
        }
        let graph = &graphs.all[self.scopes[scope].graph];
        for place in order {
            let node = &graph.nodes[place];
            let Role::Instance(inner) = node.role else {
                self.leaves.push((scope, place));
                if self.leaves.len() > MAX_NODES {
                    return Err(too_many());
                }
                continue;
            };
            let child = self.scopes.len();
            if child > MAX_NODES {
                return Err(too_many());
            }
            let prefix = format!("{}{}:", self.scopes[scope].prefix, node.id);
            let off = self.scopes[scope].off || node.mode != Mode::On;
            self.scopes.push(Scope { graph: inner, parent: Some((scope, place)), prefix, off });
            self.inner.insert((scope, place), child);
            self.expand(graphs, child, 0..graphs.all[inner].nodes.len(), depth + 1)?;
        }
        Ok(())
    }

    /// Whether a node becomes part of the prompt. In an instance that is muted or bypassed, none does: editors until 1.35 run
    /// those of its nodes that are on, later ones do not.
    pub(super) fn emits(&self, graphs: &Graphs, scope: usize, node: usize) -> bool {
        let scope = &self.scopes[scope];
        let node = &graphs.all[scope.graph].nodes[node];
        !scope.off && !node.is_virtual() && node.mode == Mode::On
    }
}

/// The editor's order of execution: nodes without linked inputs first, in the file's order, then those that they
/// complete; what stands in a cycle comes last, numbers ascending.
fn execution_order(graph: &Graph) -> Vec<usize> {
    let mut waiting: Vec<usize> =
        graph.nodes.iter().map(|node| node.inputs.iter().filter(|input| input.link.is_some()).count()).collect();
    let mut ready: VecDeque<usize> = (0..graph.nodes.len()).filter(|node| waiting[*node] == 0).collect();
    let mut placed: Vec<bool> = waiting.iter().map(|count| *count == 0).collect();
    let mut order = Vec::with_capacity(graph.nodes.len());
    let mut seen = HashSet::new();
    while let Some(node) = ready.pop_front() {
        order.push(node);
        for link in graph.nodes[node].outputs.iter().flat_map(|output| &output.links) {
            let target = graph.links.get(link).and_then(|link| graph.by_id.get(&link.target));
            if let (Some(&target), true) = (target, seen.insert(link)) {
                waiting[target] = waiting[target].saturating_sub(1);
                if waiting[target] == 0 && !placed[target] {
                    placed[target] = true;
                    ready.push_back(target);
                }
            }
        }
    }
    let mut rest: Vec<_> = (0..graph.nodes.len()).filter(|node| !placed[*node]).collect();
    rest.sort_by_key(|node| index_like(&graph.nodes[*node].id).map_or((1, 0), |number| (0, number)));
    order.extend(rest);
    order
}

/// The number, if JavaScript would take the key for an array's index.
pub(super) fn index_like(key: &str) -> Option<u32> {
    let number: u32 = key.parse().ok().filter(|number| *number != u32::MAX)?;
    (number.to_string() == key).then_some(number)
}
