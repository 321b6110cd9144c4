//! Which node is next: those that wait, what each waits for, and the order among those that are ready.

use std::collections::{BTreeSet, HashSet};

use petgraph::graph::{DiGraph, NodeIndex};

/// What the order depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Nature {
    /// It saves or shows something.
    pub(super) output: bool,
    /// It may have to be waited for, so that others run meanwhile.
    pub(super) later: bool,
}

/// The nodes that are scheduled and not done.
#[derive(Default)]
pub(super) struct Agenda {
    slots: Vec<Option<Slot>>,
    /// Who waits for whom: each pair once, however many links there are.
    edges: HashSet<(NodeIndex, NodeIndex)>,
    /// Ready nodes by rank, then by when they were added.
    ready: BTreeSet<(u8, u64, NodeIndex)>,
    added: u64,
    len: usize,
    parked: usize,
    /// Dependencies were added since the ready nodes were ranked.
    stale: bool,
}

struct Slot {
    number: u64,
    /// How many nodes it waits for, plus one while one of its own calls waits.
    blocked_by: usize,
    blocking: Vec<NodeIndex>,
    /// Its rank while it is ready.
    rank: Option<u8>,
}

impl Agenda {
    pub(super) fn contains(&self, at: NodeIndex) -> bool {
        self.slot(at).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether calls of nodes wait.
    pub(super) fn is_parked(&self) -> bool {
        self.parked > 0
    }

    fn slot(&self, at: NodeIndex) -> Option<&Slot> {
        self.slots.get(at.index()).and_then(Option::as_ref)
    }

    fn slot_mut(&mut self, at: NodeIndex) -> Option<&mut Slot> {
        self.slots.get_mut(at.index()).and_then(Option::as_mut)
    }

    /// Adds a node that waits for nothing yet.
    pub(super) fn insert(&mut self, at: NodeIndex) {
        if self.slots.len() <= at.index() {
            self.slots.resize_with(at.index() + 1, || None);
        }
        self.added += 1;
        self.len += 1;
        self.slots[at.index()] = Some(Slot { number: self.added, blocked_by: 0, blocking: Vec::new(), rank: None });
        self.offer(at);
    }

    /// Lets `to` wait for `from`. Both have been added.
    pub(super) fn block(&mut self, from: NodeIndex, to: NodeIndex) {
        if self.edges.insert((from, to)) {
            if let Some(slot) = self.slot_mut(from) {
                slot.blocking.push(to);
            }
            self.hold(to);
            self.stale = true;
        }
    }

    /// Lets a node wait for one of its own calls.
    pub(super) fn park(&mut self, at: NodeIndex) {
        self.parked += 1;
        self.hold(at);
    }

    pub(super) fn unpark(&mut self, at: NodeIndex) {
        self.parked -= 1;
        self.release(at);
    }

    fn hold(&mut self, at: NodeIndex) {
        let Some(slot) = self.slot_mut(at) else { return };
        slot.blocked_by += 1;
        if let Some(rank) = slot.rank.take() {
            let entry = (rank, slot.number, at);
            self.ready.remove(&entry);
        }
    }

    fn release(&mut self, at: NodeIndex) {
        let Some(slot) = self.slot_mut(at) else { return };
        slot.blocked_by -= 1;
        if slot.blocked_by == 0 {
            self.offer(at);
        }
    }

    /// A node has become ready; it is ranked when somebody picks.
    fn offer(&mut self, at: NodeIndex) {
        if let Some(slot) = self.slot_mut(at) {
            slot.rank = Some(u8::MAX);
            let entry = (u8::MAX, slot.number, at);
            self.ready.insert(entry);
        }
    }

    /// A node is done.
    pub(super) fn complete(&mut self, at: NodeIndex) {
        let Some(slot) = self.slots.get_mut(at.index()).and_then(Option::take) else { return };
        self.len -= 1;
        if let Some(rank) = slot.rank {
            self.ready.remove(&(rank, slot.number, at));
        }
        for to in slot.blocking {
            self.edges.remove(&(at, to));
            self.release(to);
        }
    }

    /// The ready node that ComfyUI would take: an output or one that can be waited for; then one that an output waits for;
    /// then one that such a node waits for; of equals the one that was added first.
    pub(super) fn pick(&mut self, nature: impl Fn(NodeIndex) -> Nature) -> Option<NodeIndex> {
        let unranked = self.ready.range((u8::MAX, 0, NodeIndex::new(0))..);
        let fresh: Vec<_> = if self.stale { self.ready.iter().copied().collect() } else { unranked.copied().collect() };
        self.stale = false;
        for entry @ (_, number, at) in fresh {
            let rank = self.rank(at, &nature);
            self.ready.remove(&entry);
            self.ready.insert((rank, number, at));
            if let Some(slot) = self.slot_mut(at) {
                slot.rank = Some(rank);
            }
        }
        self.ready.first().map(|(_, _, at)| *at)
    }

    fn rank(&self, at: NodeIndex, nature: &impl Fn(NodeIndex) -> Nature) -> u8 {
        let own = nature(at);
        if own.output || own.later {
            return 0;
        }
        let waiting = |at: NodeIndex| self.slot(at).into_iter().flat_map(|slot| slot.blocking.iter().copied());
        if waiting(at).any(|to| nature(to).output) {
            1
        } else if waiting(at).any(|to| waiting(to).any(|further| nature(further).output)) {
            2
        } else {
            3
        }
    }

    /// Who waits for whom, in the order in which the nodes were added.
    pub(super) fn waiting(&self) -> DiGraph<NodeIndex, ()> {
        let mut order: Vec<_> =
            self.slots.iter().enumerate().filter_map(|(i, slot)| Some((slot.as_ref()?.number, i))).collect();
        order.sort_unstable();
        let mut graph = DiGraph::new();
        let mut index = vec![None; self.slots.len()];
        for (_, i) in &order {
            index[*i] = Some(graph.add_node(NodeIndex::new(*i)));
        }
        for (_, i) in &order {
            let blocking = self.slots[*i].iter().flat_map(|slot| &slot.blocking);
            for to in blocking {
                if let (Some(from), Some(to)) = (index[*i], index[to.index()]) {
                    graph.add_edge(from, to, ());
                }
            }
        }
        graph
    }
}
