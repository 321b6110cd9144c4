//! One run under way.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Instant;

use petgraph::graph::NodeIndex;

use crate::cache::{Owner, Results};
use crate::cx::{Cancel, Metadata, Reports, Shown};
use crate::error::NodeError;
use crate::event::{Event, Observer};
use crate::io::Socket;
use crate::plan::{Plan, StepInput};
use crate::prompt::NodeId;

use super::agenda::Agenda;
use super::graph::Nodes;
use super::keeping::Keeping;
use super::tasks::{Slice, Tasks};
use super::{Engine, Outcome};

pub(super) struct Run<'a, 'r> {
    pub(super) engine: &'a mut Engine,
    pub(super) plan: &'a Plan<'r>,
    pub(super) nodes: Nodes<'a, 'r>,
    pub(super) metadata: &'a Metadata,
    pub(super) observer: &'a mut dyn Observer,
    pub(super) cancel: &'a Cancel,
    pub(super) agenda: Agenda,
    pub(super) tasks: Tasks,
    pub(super) reports: Reports,
    /// Results that other nodes may still need.
    pub(super) done: HashMap<NodeIndex, Rc<Results>>,
    pub(super) uses: Vec<usize>,
    /// Cached results of scheduled nodes, found when the nodes were scheduled.
    pub(super) found: HashMap<NodeIndex, Rc<Results>>,
    /// Nodes that have begun and wait.
    pub(super) begun: HashMap<NodeIndex, Begun>,
    /// The lazy inputs that nodes have asked for.
    pub(super) asked: HashSet<(NodeIndex, String)>,
    pub(super) executed: Vec<NodeId>,
    pub(super) keeping: Keeping,
}

/// A node that has begun.
pub(super) struct Begun {
    pub(super) started: Instant,
    pub(super) shown: Shown,
    pub(super) waits_for: Awaited,
}

pub(super) enum Awaited {
    /// Lazy inputs that it asked for.
    Inputs,
    /// Its calls, some of which wait.
    Calls,
    CallsDone(Vec<Slice>),
    /// Nodes that were put in its place. For each call: where each output comes from.
    Nodes(Vec<Vec<Assembled>>),
}

/// An output of a call that returned a graph.
pub(super) enum Assembled {
    Value(Socket),
    Link(NodeIndex, usize),
}

impl Begun {
    pub(super) fn done(self, outputs: Vec<Socket>) -> Visited {
        let seconds = self.started.elapsed().as_secs_f64();
        Visited::Done { results: Rc::new(Results { outputs, shown: self.shown }), called: Some(seconds) }
    }
}

/// Whether a node is done or needs something else first.
pub(super) enum Visited {
    /// Its results, and the seconds it took if it was called.
    Done {
        results: Rc<Results>,
        called: Option<f64>,
    },
    NotYet(Begun),
}

impl<'a, 'r> Run<'a, 'r> {
    pub(super) fn new(
        engine: &'a mut Engine,
        plan: &'a Plan<'r>,
        metadata: &'a Metadata,
        observer: &'a mut dyn Observer,
        cancel: &'a Cancel,
    ) -> Self {
        let nodes = Nodes::new(plan);
        // Only the targets and what they need run; other users of a node's results are not counted.
        let uses = nodes.uses(&plan.needed(&HashSet::new()));
        Self {
            engine,
            plan,
            nodes,
            metadata,
            observer,
            cancel,
            agenda: Agenda::default(),
            tasks: Tasks::new(),
            reports: Reports::default(),
            done: HashMap::new(),
            uses,
            found: HashMap::new(),
            begun: HashMap::new(),
            asked: HashSet::new(),
            executed: Vec::new(),
            keeping: Keeping::default(),
        }
    }

    /// Reports which results are cached, and how many nodes may have to be called.
    pub(super) fn announce(&mut self) {
        self.settle_keys();
        let order: Vec<_> = self.plan.order().collect();
        let cached: HashSet<_> =
            order.into_iter().filter(|at| self.in_memory(*at).is_some() || self.is_on_disk(*at)).collect();
        let needed = self.plan.needed(&cached);
        self.observer.event(Event::Start { nodes: needed.len() });
        let in_prompt = self.plan.prompt.nodes.keys().filter_map(|id| Some((id, self.plan.find(id)?)));
        let ids = in_prompt.filter(|(_, at)| cached.contains(at)).map(|(id, _)| id.clone());
        self.observer.event(Event::Cached { nodes: ids.collect() });
    }

    pub(super) fn all(&mut self) -> Outcome {
        for target in self.plan.targets() {
            self.add(*target);
        }
        loop {
            if let Err((at, error)) = self.resume_waiting() {
                return self.stopped(at, error);
            }
            let Some(at) = self.agenda.pick(|at| self.nodes.nature(at)) else {
                if self.agenda.is_empty() {
                    return Outcome::Done;
                }
                if !self.agenda.is_parked() {
                    return self.circular();
                }
                self.tasks.wait();
                continue;
            };
            match self.visit(at) {
                Ok(Visited::Done { results, called }) => self.finish(at, results, called),
                Ok(Visited::NotYet(begun)) => drop(self.begun.insert(at, begun)),
                Err(error) => return self.stopped(at, error),
            }
            self.engine.cache.make_room();
        }
    }

    /// Passes on the events of waiting calls, and makes nodes ready whose calls are all done.
    fn resume_waiting(&mut self) -> Result<(), (NodeIndex, NodeError)> {
        if !self.agenda.is_parked() {
            return Ok(());
        }
        let finished = self.tasks.finished();
        for event in self.reports.borrow_mut().drain(..) {
            self.observer.event(event);
        }
        for (at, slices) in finished {
            if let Some(begun) = self.begun.get_mut(&at) {
                begun.waits_for = Awaited::CallsDone(slices);
            }
            self.agenda.unpark(at);
        }
        match self.tasks.first() {
            Some(at) if self.cancel.is_raised() => Err((at, NodeError::Cancelled)),
            _ => Ok(()),
        }
    }

    /// Schedules a node and all that it needs. As in ComfyUI, the source of the last link is scheduled first.
    pub(super) fn add(&mut self, at: NodeIndex) {
        let mut stack = vec![at];
        let mut links = Vec::new();
        while let Some(at) = stack.pop() {
            if self.agenda.contains(at) {
                continue;
            }
            self.agenda.insert(at);
            if let Some(results) = self.cached(at) {
                self.found.insert(at, results);
                continue;
            }
            let strong = |input: &&StepInput| !input.declared.lazy || self.asked.contains(&(at, input.name.clone()));
            let inputs = self.nodes.step(at).inputs.iter().filter(strong);
            let mut sources: Vec<_> =
                inputs.filter_map(|input| Some((input.position, input.source.link()?.0))).collect();
            sources.sort_unstable();
            for (_, from) in sources {
                if !self.is_at_hand(from) {
                    stack.push(from);
                }
                links.push((from, at));
            }
        }
        for (from, to) in links {
            self.depend(from, to);
        }
    }

    /// Lets `to` wait for `from`, unless that is at hand.
    pub(super) fn depend(&mut self, from: NodeIndex, to: NodeIndex) {
        if !self.is_at_hand(from) {
            self.add(from);
            self.agenda.block(from, to);
        }
    }

    /// Whether a node's results are available. Results from the cache are kept from now on until the last user is done.
    fn is_at_hand(&mut self, at: NodeIndex) -> bool {
        if self.done.contains_key(&at) {
            return true;
        }
        let Some(results) = self.cached(at) else { return false };
        self.observer.outputs(&self.nodes.step(at).id, &results.outputs);
        self.done.insert(at, results);
        true
    }

    /// Results that were kept: in memory, else on the disk.
    pub(super) fn cached(&mut self, at: NodeIndex) -> Option<Rc<Results>> {
        self.in_memory(at).or_else(|| self.read_from_disk(at))
    }

    /// What the cache holds. Results whose files have been removed since are not used.
    fn in_memory(&mut self, at: NodeIndex) -> Option<Rc<Results>> {
        let results = self.engine.cache.get(&self.nodes.step(at).key)?;
        results.shown.files.iter().all(|file| file.exists()).then_some(results)
    }

    /// Tells what a node shows. Of results at hand it is told also if there is nothing to show, as in ComfyUI.
    pub(super) fn show(&mut self, at: NodeIndex, shown: &Shown, cached: bool) {
        if cached || !shown.is_empty() {
            let (node, display_node) = (self.nodes.step(at).id.clone(), self.nodes.display(at));
            let Shown { ui, files, .. } = shown.clone();
            self.observer.event(Event::Executed { node, display_node, output: ui, paths: files, cached });
        }
    }

    /// A node is done. Its results are kept for its users and in the cache; its sources lose a user.
    fn finish(&mut self, at: NodeIndex, results: Rc<Results>, called: Option<f64>) {
        let step = self.nodes.step(at);
        let (id, key) = (step.id.clone(), step.key);
        let sources: Vec<_> = step.links().map(|(from, _)| from).collect();
        let owner = self.owner(at);
        self.observer.outputs(&id, &results.outputs);
        self.engine.cache.put(key, results.clone(), owner);
        if let Some(seconds) = called {
            self.keep(at, &results, seconds);
        }
        if self.uses[at.index()] > 0 {
            self.done.insert(at, results);
        }
        sources.into_iter().for_each(|from| self.let_go(from));
        self.observer.event(Event::Finished { node: id.clone(), seconds: called.unwrap_or_default() });
        if called.is_some() {
            self.executed.push(id);
        }
        self.agenda.complete(at);
    }

    /// The node of the workflow that a node made at run time descends from.
    pub(super) fn owner(&self, at: NodeIndex) -> Option<Owner> {
        self.nodes.is_made(at).then(|| {
            let root = self.nodes.step(self.nodes.root(at));
            (root.id.clone(), root.class.schema.class.clone())
        })
    }

    /// One user of a node's results is done. After the last one they are dropped.
    pub(super) fn let_go(&mut self, at: NodeIndex) {
        let uses = &mut self.uses[at.index()];
        *uses = uses.saturating_sub(1);
        if *uses == 0 {
            self.done.remove(&at);
        }
    }
}
