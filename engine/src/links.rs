//! The links of a prompt as a graph, whose edges run from a source to who uses it.

use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, NodeFiltered, Reversed};

use crate::prompt::{Given, NodeId, Prompt};

/// What a node takes by one link: by which input, from which output of the source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use<'p> {
    pub user: &'p NodeId,
    pub input: &'p str,
    pub slot: usize,
}

/// The graph. Nodes were added in document order, and the links of each in the order of its inputs; a link to a node that does
/// not exist is not here.
pub(crate) struct Links<'p> {
    graph: DiGraph<&'p NodeId, Use<'p>>,
    index: HashMap<&'p NodeId, NodeIndex>,
}

impl<'p> Links<'p> {
    pub(crate) fn of(prompt: &'p Prompt) -> Self {
        let mut graph = DiGraph::with_capacity(prompt.nodes.len(), 2 * prompt.nodes.len());
        let index: HashMap<&NodeId, NodeIndex> = prompt.nodes.keys().map(|id| (id, graph.add_node(id))).collect();
        for (user, node) in &prompt.nodes {
            for (input, given) in &node.inputs {
                if let Given::Link { node: source, slot } = given
                    && let Some(&from) = index.get(source)
                {
                    graph.add_edge(from, index[user], Use { user, input, slot: *slot });
                }
            }
        }
        Self { graph, index }
    }

    /// The given nodes and all that they need, directly or not. A node that does not exist is passed over.
    pub(crate) fn needed_by<'a>(&self, ids: impl IntoIterator<Item = &'a NodeId>) -> HashSet<NodeId> {
        let upwards = Reversed(&self.graph);
        let mut search = Dfs::empty(upwards);
        let mut needed = HashSet::new();
        for start in ids.into_iter().filter_map(|id| self.index.get(id)) {
            search.move_to(*start);
            while let Some(at) = search.next(upwards) {
                needed.insert(self.graph[at].clone());
            }
        }
        needed
    }

    /// A node and all that need it, directly or not.
    pub(crate) fn that_need(&self, id: &NodeId) -> HashSet<&'p NodeId> {
        let mut needing = HashSet::new();
        if let Some(start) = self.index.get(id) {
            let mut search = Dfs::new(&self.graph, *start);
            while let Some(at) = search.next(&self.graph) {
                needing.insert(self.graph[at]);
            }
        }
        needing
    }

    /// The nodes that are linked to one, each as often as it is.
    pub(crate) fn users(&self, id: &NodeId) -> impl Iterator<Item = &'p NodeId> + '_ {
        self.index.get(id).into_iter().flat_map(|at| self.graph.neighbors(*at)).map(|at| self.graph[at])
    }

    /// The first link that leaves a node, among those to nodes that are wanted.
    pub(crate) fn first_of(&self, id: &NodeId, wanted: &HashSet<NodeId>) -> Option<Use<'p>> {
        // petgraph lists the edges of a node from the last added to the first.
        let links = self.index.get(id).into_iter().flat_map(|at| self.graph.edges(*at)).map(|edge| *edge.weight());
        links.filter(|link| wanted.contains(link.user)).last()
    }

    /// The nodes among `wanted` in an order in which each comes after those that it is linked to; none if they form a cycle.
    pub(crate) fn sources_first(&self, wanted: &HashSet<NodeId>) -> Vec<&'p NodeId> {
        let among = NodeFiltered::from_fn(&self.graph, |at| wanted.contains(self.graph[at]));
        toposort(&among, None).unwrap_or_default().into_iter().map(|at| self.graph[at]).collect()
    }

    /// For each group of nodes among `wanted` that depend on each other, the shortest way round from the first of them.
    pub(crate) fn cycles(&self, wanted: &HashSet<NodeId>) -> Vec<Vec<&'p NodeId>> {
        let groups = kosaraju_scc(&self.graph).into_iter();
        let circular = groups.filter(|group| group.len() > 1 || self.graph.contains_edge(group[0], group[0]));
        let starts = circular.filter_map(|group| group.into_iter().min());
        let wanted = starts.filter(|start| wanted.contains(self.graph[*start]));
        wanted.map(|start| way_round(&self.graph, start).into_iter().map(|at| self.graph[at]).collect()).collect()
    }
}

/// The shortest way from `start` back to itself, both ends named.
pub(crate) fn way_round<N, E>(graph: &DiGraph<N, E>, start: NodeIndex) -> Vec<NodeIndex> {
    let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in graph.neighbors(at) {
            if next == start {
                let mut way = vec![start, at];
                let mut back = at;
                while back != start {
                    back = came_from[&back];
                    way.push(back);
                }
                way.reverse();
                return way;
            }
            came_from.entry(next).or_insert_with(|| {
                queue.push_back(next);
                at
            });
        }
    }
    vec![start]
}
