//! One node's turn in a run: it begins, asks for what it needs, is called, waits, or is put together from others.

use std::time::Instant;

use petgraph::graph::NodeIndex;

use crate::cx::{Cx, Shown};
use crate::error::NodeError;
use crate::event::{Event, Made};
use crate::feed::{Feed, Link};
use crate::graph::Graph;
use crate::io::{Socket, Value};
use crate::outputs::Returned;
use crate::plan::{Source, Step, StepInput};
use crate::ranges;

use super::call::{Held, Inputs, call_over_lists, joined, needs};
use super::run::{Assembled, Awaited, Begun, Run, Visited};
use super::tasks::Slice;

/// Fails if a number that other nodes give lies outside of its input's range: over a link, or with a node that they `made`. Constants of a
/// workflow are checked before it runs; inputs that the class checks itself are left to it.
fn within_ranges(step: &Step<'_>, made: bool, inputs: &Inputs) -> Result<(), NodeError> {
    let given = |input: &&StepInput<'_>| made || input.source.link().is_some();
    for input in step.inputs.iter().filter(given).filter(|input| !step.class.traits.validates(&input.name)) {
        let Some(Held::Socket(socket)) = inputs.0.get(&input.name) else { continue };
        if let Some(why) = socket.iter().find_map(|value| ranges::refusal(input.declared, value)) {
            return Err(NodeError::Failed(format!("input '{}' {why}", input.name)));
        }
    }
    Ok(())
}

impl Run<'_, '_> {
    /// Begins a node, or goes on with it.
    pub(super) fn visit(&mut self, at: NodeIndex) -> Result<Visited, NodeError> {
        let Some(mut begun) = self.begun.remove(&at) else {
            if let Some(results) = self.found.remove(&at).or_else(|| self.cached(at)) {
                self.show(at, &results.shown, true);
                return Ok(Visited::Done { results, called: None });
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
        let mut begun = Begun { started, shown: Shown::default(), waits_for: Awaited::Inputs };
        if step.inputs.iter().any(|input| input.declared.lazy) {
            let needed = needs(class, &inputs)?;
            if !needed.is_empty() {
                self.ask(at, needed)?;
                return Ok(Visited::NotYet(begun));
            }
        }
        within_ranges(step, self.nodes.is_made(at), &inputs)?;
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
            shown: Shown::default(),
        };
        let slices = call_over_lists(class, &inputs, &self.executed, &mut cx)?;
        begun.shown = cx.shown;
        self.returned(at, begun, slices)
    }

    /// Schedules the lazy inputs that a node asked for, and lets the node wait for them.
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

    /// The value of each input, as far as it is evaluated.
    pub(super) fn gather(&self, at: NodeIndex) -> Inputs {
        let held = |input: &StepInput| match &input.source {
            Source::Constant(value) => Held::Socket([value.clone()].into()),
            Source::Link { from, slot } if input.declared.raw_link => {
                let link = Link { node: self.nodes.step(*from).id.clone(), slot: *slot };
                Held::Socket([Value::new("LINK", link)].into())
            }
            Source::Link { .. } if input.declared.lazy && !self.asked.contains(&(at, input.name.clone())) => {
                Held::Later
            }
            Source::Link { from, slot } => {
                let socket = self.done.get(from).and_then(|results| results.outputs.get(*slot).cloned());
                Held::Socket(socket.unwrap_or_else(|| [Value::nothing()].into()))
            }
        };
        Inputs(self.nodes.step(at).inputs.iter().map(|input| (input.name.clone(), held(input))).collect())
    }

    /// Goes on after a node's calls: waits for them, expands the graphs that they returned, or finishes the node.
    fn returned(&mut self, at: NodeIndex, mut begun: Begun, slices: Vec<Slice>) -> Result<Visited, NodeError> {
        if slices.iter().any(Slice::is_waiting) {
            self.tasks.add(at, slices);
            self.agenda.park(at);
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
        self.show(at, &begun.shown, false);
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
        let each =
            made.iter().map(|at| Made { node: self.nodes.step(*at).id.clone(), display_node: self.nodes.display(*at) });
        let node = self.nodes.step(at).id.clone();
        self.observer.event(Event::Expanded { node, made: each.collect() });
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

    /// The outputs of a call that returned a graph. The nodes they come from lose a user.
    fn assemble(&mut self, outputs: Vec<Assembled>) -> Vec<Socket> {
        let mut sockets = Vec::with_capacity(outputs.len());
        for output in outputs {
            sockets.push(match output {
                Assembled::Value(socket) => socket,
                Assembled::Link(from, slot) => {
                    let found = self.done.get(&from).and_then(|results| results.outputs.get(slot).cloned());
                    self.let_go(from);
                    found.unwrap_or_else(|| [Value::nothing()].into())
                }
            });
        }
        sockets
    }
}
