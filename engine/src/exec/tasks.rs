//! Calls that wait. They are polled on the compute thread, between the calls of other nodes, without an async runtime.
//! Any thread may wake them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use petgraph::graph::NodeIndex;

use crate::error::NodeError;
use crate::node::guarded;
use crate::outputs::{Pending, Returned};

/// How often the sleeping compute thread checks for cancellation.
const NAP: Duration = Duration::from_millis(20);

/// A call of a node, done or not.
pub(super) enum Slice {
    Done(Returned),
    Failed(NodeError),
    Waiting(Pending),
}

impl Slice {
    /// A call that has just returned. One that waits is polled once: it may have nothing to wait for.
    pub(super) fn new(returned: Returned) -> Self {
        match returned {
            Returned::Later(pending) => Self::Waiting(pending).polled(&mut Context::from_waker(Waker::noop())),
            done => Self::Done(done),
        }
    }

    fn polled(self, cx: &mut Context) -> Self {
        let Self::Waiting(mut pending) = self else { return self };
        match guarded(|| Ok(pending.as_mut().poll(cx))) {
            Err(error) => Self::Failed(error),
            Ok(Poll::Pending) => Self::Waiting(pending),
            Ok(Poll::Ready(Err(error))) => Self::Failed(error.into()),
            // What it waited for may itself have to be waited for.
            Ok(Poll::Ready(Ok(Returned::Later(next)))) => Self::Waiting(next).polled(cx),
            Ok(Poll::Ready(Ok(done))) => Self::Done(done),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }
}

/// Wakes the compute thread.
struct Alarm {
    thread: Thread,
    rung: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// The nodes some of whose calls wait.
pub(super) struct Tasks {
    nodes: BTreeMap<NodeIndex, Vec<Slice>>,
    alarm: Arc<Alarm>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        let alarm = Alarm { thread: std::thread::current(), rung: AtomicBool::new(false) };
        Self { nodes: BTreeMap::new(), alarm: Arc::new(alarm) }
    }

    /// Takes a node's calls. `finished` polls them first thing, which registers the waker.
    pub(super) fn add(&mut self, at: NodeIndex, slices: Vec<Slice>) {
        self.nodes.insert(at, slices);
        self.alarm.rung.store(true, Ordering::Release);
    }

    /// The nodes all of whose calls are done, by index, each with its calls.
    pub(super) fn finished(&mut self) -> Vec<(NodeIndex, Vec<Slice>)> {
        if !self.alarm.rung.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        let waker = Waker::from(self.alarm.clone());
        let mut cx = Context::from_waker(&waker);
        for slices in self.nodes.values_mut() {
            *slices = slices.drain(..).map(|slice| slice.polled(&mut cx)).collect();
        }
        let done = |slices: &[Slice]| !slices.iter().any(Slice::is_waiting);
        let finished: Vec<_> = self.nodes.iter().filter(|(_, slices)| done(slices)).map(|(at, _)| *at).collect();
        finished.into_iter().filter_map(|at| self.nodes.remove_entry(&at)).collect()
    }

    /// Sleeps until something is woken, or for a moment.
    pub(super) fn wait(&self) {
        if !self.alarm.rung.load(Ordering::Acquire) {
            std::thread::park_timeout(NAP);
        }
    }

    /// The waiting node with the smallest index.
    pub(super) fn first(&self) -> Option<NodeIndex> {
        self.nodes.keys().next().copied()
    }
}
