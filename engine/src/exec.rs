//! The executor: pulls what the targets need, calls nodes whose inputs are at hand, reuses what the cache holds.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Instant;

use indexmap::IndexMap;
use petgraph::graph::NodeIndex;

use crate::cache::{Cache, Classic, Entry};
use crate::cx::{Cancel, Cx, Metadata, Services};
use crate::error::{Failure, NodeError};
use crate::event::{Event, Observer};
use crate::folders::FolderPaths;
use crate::io::{Arg, Socket};
use crate::node::Args;
use crate::plan::{Plan, Source, Step};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed(Failure),
    Cancelled,
}

/// What runs have in common: the cache, and what nodes may ask for. It lives on one thread.
pub struct Engine {
    pub folders: FolderPaths,
    pub services: Services,
    cache: Box<dyn Cache>,
}

impl Engine {
    pub fn new(folders: FolderPaths, services: Services) -> Self {
        Self { folders, services, cache: Box::<Classic>::default() }
    }

    /// Runs a plan. The observer sees everything; finished results are kept whatever happens to later nodes.
    pub fn run(&mut self, plan: &Plan, metadata: &Metadata, observer: &mut dyn Observer, cancel: &Cancel) -> Outcome {
        let started = Instant::now();
        self.cache.begin(&plan.order().map(|at| plan.step(at).key).collect());
        let cached = self.cached(plan);
        let needed = needed(plan, &cached);
        observer.event(Event::Start { nodes: needed });
        let ids = plan.order().filter(|at| cached.contains_key(at)).map(|at| plan.step(at).id.clone());
        observer.event(Event::Cached { nodes: ids.collect() });

        let mut run = Run { engine: self, plan, metadata, observer, cancel, cached, done: HashMap::new() };
        let outcome = run.all();
        match &outcome {
            Outcome::Done => observer.event(Event::Success { seconds: started.elapsed().as_secs_f64() }),
            Outcome::Failed(failure) => observer.event(Event::Error(failure.clone())),
            Outcome::Cancelled => {}
        }
        outcome
    }

    /// The entries at hand. One whose files have been removed since is not.
    fn cached(&self, plan: &Plan) -> HashMap<NodeIndex, Rc<Entry>> {
        let entries = plan.order().filter_map(|at| Some((at, self.cache.get(&plan.step(at).key)?)));
        entries.filter(|(_, entry)| entry.saved.iter().all(|file| file.path.exists())).collect()
    }
}

/// How many nodes have to be called.
fn needed(plan: &Plan, cached: &HashMap<NodeIndex, Rc<Entry>>) -> usize {
    let mut seen = HashSet::new();
    let mut stack: Vec<_> = plan.targets().to_vec();
    while let Some(at) = stack.pop() {
        if !cached.contains_key(&at) && seen.insert(at) {
            stack.extend(plan.sources(at));
        }
    }
    seen.len()
}

/// One run under way.
struct Run<'a, 'r> {
    engine: &'a mut Engine,
    plan: &'a Plan<'r>,
    metadata: &'a Metadata,
    observer: &'a mut dyn Observer,
    cancel: &'a Cancel,
    cached: HashMap<NodeIndex, Rc<Entry>>,
    done: HashMap<NodeIndex, Rc<Entry>>,
}

impl Run<'_, '_> {
    /// A stack of nodes: one that lacks an input pushes its source and is tried again.
    fn all(&mut self) -> Outcome {
        let mut stack: Vec<NodeIndex> = self.plan.targets().iter().rev().copied().collect();
        while let Some(at) = stack.pop() {
            if self.done.contains_key(&at) || self.reuse(at) {
                continue;
            }
            let missing: Vec<_> = self.plan.sources(at).filter(|source| !self.done.contains_key(source)).collect();
            if !missing.is_empty() {
                stack.push(at);
                stack.extend(missing.into_iter().rev());
                continue;
            }
            match self.call(at) {
                Ok(entry) => {
                    let entry = Rc::new(entry);
                    self.engine.cache.put(self.plan.step(at).key, entry.clone());
                    self.done.insert(at, entry);
                }
                Err(error) => return self.stopped(at, error),
            }
        }
        Outcome::Done
    }

    fn reuse(&mut self, at: NodeIndex) -> bool {
        let Some(entry) = self.cached.get(&at).cloned() else { return false };
        self.announce(at, &entry, true);
        self.done.insert(at, entry);
        true
    }

    fn announce(&mut self, at: NodeIndex, entry: &Entry, cached: bool) {
        let id = &self.plan.step(at).id;
        self.observer.outputs(id, &entry.outputs);
        if !entry.saved.is_empty() || !entry.texts.is_empty() {
            let (images, texts) = (entry.saved.clone(), entry.texts.clone());
            self.observer.event(Event::Executed { node: id.clone(), images, texts, cached });
        }
    }

    fn stopped(&mut self, at: NodeIndex, error: NodeError) -> Outcome {
        let step = self.plan.step(at);
        let class = step.class.schema.class.clone();
        let (message, out_of_memory) = match error {
            NodeError::Cancelled => {
                self.observer.event(Event::Interrupted { node: step.id.clone(), class });
                return Outcome::Cancelled;
            }
            NodeError::OutOfMemory(message) => (message, true),
            NodeError::Failed(message) => (message, false),
        };
        Outcome::Failed(Failure {
            node: step.id.clone(),
            class,
            title: Some(step.title.clone()),
            message,
            out_of_memory,
        })
    }

    fn call(&mut self, at: NodeIndex) -> Result<Entry, NodeError> {
        let step = self.plan.step(at);
        let started = Instant::now();
        let (class, title) = (step.class.schema.class.clone(), step.title.clone());
        self.observer.event(Event::Executing { node: step.id.clone(), class, title });
        let inputs = self.gather(step);
        let mut cx = Cx {
            node: &step.id,
            folders: &self.engine.folders,
            metadata: self.metadata,
            services: &self.engine.services,
            cancel: self.cancel,
            observer: &mut *self.observer,
            saved: Vec::new(),
            texts: Vec::new(),
        };
        let outputs = call_over_lists(step, &inputs, &mut cx)?;
        let entry = Entry { outputs, saved: cx.saved, texts: cx.texts };
        self.announce(at, &entry, false);
        self.observer.event(Event::Finished { node: step.id.clone(), seconds: started.elapsed().as_secs_f64() });
        Ok(entry)
    }

    /// What each given input holds.
    fn gather(&self, step: &Step) -> IndexMap<String, Socket> {
        let socket = |source: &Source| match source {
            Source::Constant(value) => Rc::from([value.clone()]),
            Source::Link { from, slot } => {
                self.done.get(from).and_then(|entry| entry.outputs.get(*slot).cloned()).unwrap_or_else(|| Rc::from([]))
            }
        };
        step.inputs.iter().map(|(name, source)| (name.clone(), socket(source))).collect()
    }
}

/// Calls a node once per value of its longest input, shorter inputs repeating their last value; or once with all, if it
/// takes lists. Outputs of several calls are joined.
fn call_over_lists(step: &Step, inputs: &IndexMap<String, Socket>, cx: &mut Cx) -> Result<Vec<Socket>, NodeError> {
    let call = |arg: &dyn Fn(&Socket) -> Arg, cx: &mut Cx| {
        cx.cancel.check().map_err(|_| NodeError::Cancelled)?;
        let args = inputs.iter().map(|(name, socket)| (name.clone(), arg(socket)));
        step.class.call(Args::new(args.collect()), cx)
    };
    if step.class.traits.takes_lists {
        return call(&|socket| Arg::All(socket.clone()), cx);
    }
    if let Some((name, _)) = inputs.iter().find(|(_, socket)| socket.is_empty()) {
        return Err(NodeError::Failed(format!(
            "input '{name}' received an empty list; connect something that gives a value"
        )));
    }
    let calls = inputs.values().map(|socket| socket.len()).max().unwrap_or(1);
    let nth = |n: usize| move |socket: &Socket| Arg::One(socket[n.min(socket.len() - 1)].clone());
    let mut joined = call(&nth(0), cx)?;
    for n in 1..calls {
        let more = call(&nth(n), cx)?;
        joined = joined.iter().zip(&more).map(|(a, b)| a.iter().chain(b.iter()).cloned().collect()).collect();
    }
    Ok(joined)
}
