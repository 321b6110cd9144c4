//! One run under way.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Instant;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::NodeIndex;

use crate::cache::{Entry, Owner};
use crate::check::way_round;
use crate::cx::{Cancel, Cx, Metadata, Reports};
use crate::error::{Cause, Failure, NodeError};
use crate::event::{Event, Observer, SavedFile};
use crate::feed::{Feed, Link};
use crate::graph::Graph;
use crate::io::{Socket, Value};
use crate::outputs::Returned;
use crate::plan::{Plan, Source, StepInput};
use crate::prompt::NodeId;

use super::call::{Held, Inputs, call_over_lists, joined, needs};
use super::graph::Nodes;
use super::schedule::Schedule;
use super::tasks::{Slice, Tasks};
use super::{Engine, Outcome};

pub(super) struct Run<'a, 'r> {
    engine: &'a mut Engine,
    plan: &'a Plan<'r>,
    nodes: Nodes<'a, 'r>,
    metadata: &'a Metadata,
    observer: &'a mut dyn Observer,
    cancel: &'a Cancel,
    schedule: Schedule,
    tasks: Tasks,
    reports: Reports,
    /// Results that somebody may still need, and how many may.
    done: HashMap<NodeIndex, Rc<Entry>>,
    uses: Vec<usize>,
    /// Results of scheduled nodes that were at hand when they were scheduled.
    found: HashMap<NodeIndex, Rc<Entry>>,
    /// Nodes that have begun and need something else first.
    begun: HashMap<NodeIndex, Begun>,
    /// The lazy inputs that nodes have asked for.
    asked: HashSet<(NodeIndex, String)>,
    executed: Vec<NodeId>,
}

/// A node that has begun.
struct Begun {
    started: Instant,
    saved: Vec<SavedFile>,
    texts: Vec<String>,
    waits_for: Awaited,
}

enum Awaited {
    /// Lazy inputs that it asked for.
    Inputs,
    /// Its calls, some of which wait.
    Calls,
    CallsDone(Vec<Slice>),
    /// Nodes in its place: what feeds each output, of each call.
    Nodes(Vec<Vec<Assembled>>),
}

/// An output of a call, in a node that others have taken the place of.
enum Assembled {
    Value(Socket),
    Link(NodeIndex, usize),
}

impl Begun {
    fn done(self, outputs: Vec<Socket>) -> Visited {
        let seconds = self.started.elapsed().as_secs_f64();
        let entry = Entry { outputs, saved: self.saved, texts: self.texts };
        Visited::Done { entry: Rc::new(entry), called: Some(seconds) }
    }
}

/// Whether a node is done or needs something else first.
enum Visited {
    /// Its results, and the seconds it took if it was called.
    Done {
        entry: Rc<Entry>,
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
        let mut uses = vec![0; plan.len()];
        // What only other outputs need does not run, and so does not let go of anything either.
        let mut reached: HashSet<_> = plan.targets().iter().copied().collect();
        let mut stack = plan.targets().to_vec();
        while let Some(at) = stack.pop() {
            for from in plan.sources(at) {
                uses[from.index()] += 1;
                if reached.insert(from) {
                    stack.push(from);
                }
            }
        }
        Self {
            engine,
            plan,
            nodes: Nodes::new(plan),
            metadata,
            observer,
            cancel,
            schedule: Schedule::default(),
            tasks: Tasks::new(),
            reports: Reports::default(),
            done: HashMap::new(),
            uses,
            found: HashMap::new(),
            begun: HashMap::new(),
            asked: HashSet::new(),
            executed: Vec::new(),
        }
    }

    /// Says which results are at hand, and how many nodes may have to be called.
    pub(super) fn announce(&mut self) {
        let order: Vec<_> = self.plan.order().collect();
        let cached: HashSet<_> = order.iter().copied().filter(|at| self.cached(*at).is_some()).collect();
        let mut needed = HashSet::new();
        let mut stack = self.plan.targets().to_vec();
        while let Some(at) = stack.pop() {
            if !cached.contains(&at) && needed.insert(at) {
                stack.extend(self.plan.sources(at));
            }
        }
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
            let Some(at) = self.schedule.pick(|at| self.nodes.nature(at)) else {
                if self.schedule.is_empty() {
                    return Outcome::Done;
                }
                if !self.schedule.is_parked() {
                    return self.circular();
                }
                self.tasks.wait();
                continue;
            };
            match self.visit(at) {
                Ok(Visited::Done { entry, called }) => self.finish(at, entry, called),
                Ok(Visited::NotYet(begun)) => drop(self.begun.insert(at, begun)),
                Err(error) => return self.stopped(at, error),
            }
            self.engine.cache.make_room();
        }
    }

    /// Passes on what waiting nodes reported, and takes up those that wait no more.
    fn resume_waiting(&mut self) -> Result<(), (NodeIndex, NodeError)> {
        if !self.schedule.is_parked() {
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
            self.schedule.unpark(at);
        }
        match self.tasks.first() {
            Some(at) if self.cancel.is_raised() => Err((at, NodeError::Cancelled)),
            _ => Ok(()),
        }
    }

    /// Adds a node and all that it needs. Of links, the last one's source is added first, as in ComfyUI.
    fn add(&mut self, at: NodeIndex) {
        let mut stack = vec![at];
        let mut links = Vec::new();
        while let Some(at) = stack.pop() {
            if self.schedule.contains(at) {
                continue;
            }
            self.schedule.insert(at);
            if let Some(entry) = self.cached(at) {
                self.found.insert(at, entry);
                continue;
            }
            let strong = |input: &&StepInput| !input.lazy || self.asked.contains(&(at, input.name.clone()));
            let inputs = self.nodes.step(at).inputs.iter().filter(strong);
            let mut sources: Vec<_> = inputs.filter_map(|input| Some((input.place, input.source.link()?.0))).collect();
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
    fn depend(&mut self, from: NodeIndex, to: NodeIndex) {
        if !self.is_at_hand(from) {
            self.add(from);
            self.schedule.block(from, to);
        }
    }

    /// Whether a node's results can be used. Those from the cache are held from now on.
    fn is_at_hand(&mut self, at: NodeIndex) -> bool {
        if self.done.contains_key(&at) {
            return true;
        }
        let Some(entry) = self.cached(at) else { return false };
        self.observer.outputs(&self.nodes.step(at).id, &entry.outputs);
        self.done.insert(at, entry);
        true
    }

    /// What the cache holds. An entry whose files have been removed since is none.
    fn cached(&mut self, at: NodeIndex) -> Option<Rc<Entry>> {
        let entry = self.engine.cache.get(&self.nodes.step(at).key)?;
        entry.saved.iter().all(|file| file.path.exists()).then_some(entry)
    }

    /// Begins a node, or goes on with it.
    fn visit(&mut self, at: NodeIndex) -> Result<Visited, NodeError> {
        let Some(mut begun) = self.begun.remove(&at) else {
            if let Some(entry) = self.found.remove(&at).or_else(|| self.cached(at)) {
                self.show(at, &entry.saved, &entry.texts, true);
                return Ok(Visited::Done { entry, called: None });
            }
            return self.begin(at, Instant::now());
        };
        match std::mem::replace(&mut begun.waits_for, Awaited::Inputs) {
            Awaited::Inputs | Awaited::Calls => self.begin(at, begun.started),
            Awaited::CallsDone(slices) => self.returned(at, begun, slices),
            Awaited::Nodes(calls) => {
                let calls: Vec<_> = calls.into_iter().map(|outputs| self.assemble(outputs)).collect();
                Ok(begun.done(joined(calls)))
            }
        }
    }

    fn begin(&mut self, at: NodeIndex, started: Instant) -> Result<Visited, NodeError> {
        let step = self.nodes.step(at);
        let (node, class) = (step.id.clone(), step.class);
        self.observer.event(Event::Executing {
            node: node.clone(),
            display_node: self.nodes.display(at),
            class: class.schema.class.clone(),
            title: step.title.clone(),
        });
        let inputs = self.gather(at);
        let mut begun = Begun { started, saved: Vec::new(), texts: Vec::new(), waits_for: Awaited::Inputs };
        if step.inputs.iter().any(|input| input.lazy) {
            let needed = needs(class, &inputs)?;
            if !needed.is_empty() {
                self.ask(at, needed)?;
                return Ok(Visited::NotYet(begun));
            }
        }
        let mut cx = Cx {
            node: &node,
            folders: &self.engine.folders,
            metadata: self.metadata,
            class: &class.schema.class,
            key: step.key,
            services: &self.engine.services,
            cancel: self.cancel,
            observer: &mut *self.observer,
            graph: &self.nodes,
            kept: &self.engine.kept,
            reports: &self.reports,
            call: 0,
            graphs: 0,
            saved: Vec::new(),
            texts: Vec::new(),
        };
        let slices = call_over_lists(class, &inputs, &self.executed, &mut cx)?;
        (begun.saved, begun.texts) = (cx.saved, cx.texts);
        self.returned(at, begun, slices)
    }

    /// Lets a node wait for lazy inputs.
    fn ask(&mut self, at: NodeIndex, names: Vec<String>) -> Result<(), NodeError> {
        for name in names {
            let step = self.nodes.step(at);
            let input = step.inputs.iter().find(|input| input.name == name);
            let wrong =
                |why: &str| NodeError::NodeInput(format!("Node {} says it needs input {name}, but {why}", step.id));
            let input = input.ok_or_else(|| wrong("there is no input to that node at all"))?;
            let (from, _) = input.source.link().ok_or_else(|| wrong("that value is a constant"))?;
            self.asked.insert((at, name));
            self.depend(from, at);
        }
        Ok(())
    }

    /// What each given input holds.
    fn gather(&self, at: NodeIndex) -> Inputs {
        let held = |input: &StepInput| match &input.source {
            Source::Constant(value) => Held::Socket([value.clone()].into()),
            Source::Link { from, slot } if input.raw => {
                let link = Link { node: self.nodes.step(*from).id.clone(), slot: *slot };
                Held::Socket([Value::new("LINK", link)].into())
            }
            Source::Link { .. } if input.lazy && !self.asked.contains(&(at, input.name.clone())) => Held::Later,
            Source::Link { from, slot } => {
                let socket = self.done.get(from).and_then(|entry| entry.outputs.get(*slot).cloned());
                Held::Socket(socket.unwrap_or_else(|| [Value::nothing()].into()))
            }
        };
        Inputs(self.nodes.step(at).inputs.iter().map(|input| (input.name.clone(), held(input))).collect())
    }

    /// Takes what a node's calls ended in.
    fn returned(&mut self, at: NodeIndex, mut begun: Begun, slices: Vec<Slice>) -> Result<Visited, NodeError> {
        if slices.iter().any(Slice::is_waiting) {
            self.tasks.add(at, slices);
            self.schedule.park(at);
            begun.waits_for = Awaited::Calls;
            return Ok(Visited::NotYet(begun));
        }
        let mut calls = Vec::with_capacity(slices.len());
        for slice in slices {
            match slice {
                Slice::Done(returned) => calls.push(returned),
                Slice::Failed(error) => return Err(error),
                Slice::Waiting(_) => {}
            }
        }
        self.show(at, &begun.saved, &begun.texts, false);
        if calls.iter().any(|call| matches!(call, Returned::Expanded(..))) {
            begun.waits_for = Awaited::Nodes(self.expand(at, calls)?);
            return Ok(Visited::NotYet(begun));
        }
        let values = calls.into_iter().map(|call| match call {
            Returned::Values(outputs) => outputs,
            Returned::Expanded(..) | Returned::Later(_) => Vec::new(),
        });
        let outputs = joined(values);
        Ok(begun.done(outputs))
    }

    /// Puts nodes in the place of a node. It waits for those that its outputs come from; those that save or show something
    /// run as well.
    fn expand(&mut self, at: NodeIndex, calls: Vec<Returned>) -> Result<Vec<Vec<Assembled>>, NodeError> {
        let mut assembled = Vec::with_capacity(calls.len());
        for call in calls {
            let outputs = match call {
                Returned::Values(outputs) => outputs.into_iter().map(Assembled::Value).collect(),
                Returned::Expanded(graph, results) => self.place(at, graph, results)?,
                Returned::Later(_) => Vec::new(),
            };
            assembled.push(outputs);
        }
        for output in assembled.iter().flatten() {
            if let Assembled::Link(from, _) = output {
                self.uses[from.index()] += 1;
                self.depend(*from, at);
            }
        }
        Ok(assembled)
    }

    fn place(&mut self, at: NodeIndex, graph: Graph, results: Vec<Feed>) -> Result<Vec<Assembled>, NodeError> {
        let made = self.nodes.grow(at, graph, &self.engine.folders).map_err(NodeError::Failed)?;
        self.uses.resize(self.uses.len() + made.len(), 0);
        for from in made.iter().flat_map(|at| self.nodes.step(*at).links()).map(|(from, _)| from).collect::<Vec<_>>() {
            self.uses[from.index()] += 1;
        }
        let ids = made.iter().map(|at| (self.nodes.step(*at).id.clone(), self.nodes.display(*at)));
        self.observer.event(Event::Expanded { node: self.nodes.step(at).id.clone(), made: ids.collect() });
        for at in made {
            if self.nodes.nature(at).output {
                self.add(at);
            }
        }
        let assembled = |feed: Feed| match feed {
            Feed::Value(value) => Ok(Assembled::Value([value].into())),
            Feed::Link(Link { node, slot }) => {
                let missing = || NodeError::Failed(format!("its outputs come from node {node}, which does not exist"));
                Ok(Assembled::Link(self.nodes.find(&node).ok_or_else(missing)?, slot))
            }
        };
        results.into_iter().map(assembled).collect()
    }

    /// The outputs of a call in whose place nodes ran. Those are let go.
    fn assemble(&mut self, outputs: Vec<Assembled>) -> Vec<Socket> {
        let mut sockets = Vec::with_capacity(outputs.len());
        for output in outputs {
            sockets.push(match output {
                Assembled::Value(socket) => socket,
                Assembled::Link(from, slot) => {
                    let found = self.done.get(&from).and_then(|entry| entry.outputs.get(slot).cloned());
                    self.let_go(from);
                    found.unwrap_or_else(|| [Value::nothing()].into())
                }
            });
        }
        sockets
    }

    /// Tells what a node shows. Of results at hand it is told also if there is nothing to show, as in ComfyUI.
    fn show(&mut self, at: NodeIndex, saved: &[SavedFile], texts: &[String], cached: bool) {
        if cached || !saved.is_empty() || !texts.is_empty() {
            let (node, display_node) = (self.nodes.step(at).id.clone(), self.nodes.display(at));
            let (images, texts) = (saved.to_vec(), texts.to_vec());
            self.observer.event(Event::Executed { node, display_node, images, texts, cached });
        }
    }

    /// A node is done: its results are kept for those that need them, and its sources are let go.
    fn finish(&mut self, at: NodeIndex, entry: Rc<Entry>, called: Option<f64>) {
        let step = self.nodes.step(at);
        let (id, key) = (step.id.clone(), step.key);
        let sources: Vec<_> = step.links().map(|(from, _)| from).collect();
        let owner: Option<Owner> = self.nodes.is_grown(at).then(|| {
            let root = self.nodes.step(self.nodes.root(at));
            (root.id.clone(), root.class.schema.class.clone())
        });
        self.observer.outputs(&id, &entry.outputs);
        self.engine.cache.put(key, entry.clone(), owner);
        if self.uses[at.index()] > 0 {
            self.done.insert(at, entry);
        }
        sources.into_iter().for_each(|from| self.let_go(from));
        self.observer.event(Event::Finished { node: id.clone(), seconds: called.unwrap_or_default() });
        if called.is_some() {
            self.executed.push(id);
        }
        self.schedule.complete(at);
    }

    /// One of those that may need a node's results needs them no more.
    fn let_go(&mut self, at: NodeIndex) {
        let uses = &mut self.uses[at.index()];
        *uses = uses.saturating_sub(1);
        if *uses == 0 {
            self.done.remove(&at);
        }
    }

    /// Nothing is ready and nothing is waited for: nodes made at run time depend on each other.
    fn circular(&mut self) -> Outcome {
        let waiting = self.schedule.waiting();
        let groups = kosaraju_scc(&waiting);
        let cycle = groups.into_iter().filter(|group| group.len() > 1 || waiting.contains_edge(group[0], group[0]));
        let start = cycle.flatten().min_by_key(|at| (!self.nodes.is_grown(waiting[*at]), waiting[*at]));
        let start = start.unwrap_or_default();
        let way = way_round(&waiting, start).into_iter().map(|at| self.nodes.step(waiting[at]).id.clone()).collect();
        self.failed(waiting[start], Cause::Cycle(way), "Dependency cycle detected".to_owned())
    }

    fn stopped(&mut self, at: NodeIndex, error: NodeError) -> Outcome {
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
        let inside = self.nodes.is_grown(at) && !matches!(cause, Cause::Cycle(_));
        Outcome::Failed(Box::new(Failure {
            node: root.id.clone(),
            class: root.class.schema.class.clone(),
            title: Some(root.title.clone()),
            inside: inside.then(|| (step.id.clone(), step.class.schema.class.clone())),
            cause,
            message,
            inputs: self.gather(at).shown(),
            executed: self.executed.clone(),
        }))
    }
}
