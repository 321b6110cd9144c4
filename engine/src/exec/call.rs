//! One node's calls: once per value of its longest input, or once with whole lists.

use std::rc::Rc;

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use crate::cx::Cx;
use crate::error::{NodeError, OutOfMemory, beginning};
use crate::event::Event;
use crate::files;
use crate::flow::Blocker;
use crate::io::{Arg, Args, Socket, Value};
use crate::memory;
use crate::node::Class;
use crate::outputs::Returned;
use crate::prompt::NodeId;

use super::tasks::Slice;

/// What a node's inputs hold when it is called.
#[derive(Debug, Default)]
pub(super) struct Inputs(pub(super) IndexMap<String, Held>);

#[derive(Debug)]
pub(super) enum Held {
    Socket(Socket),
    /// A lazy input that was not asked for.
    Later,
}

impl Inputs {
    /// Whether an input has no value yet.
    pub(super) fn lacks(&self, name: &str) -> bool {
        !matches!(self.0.get(name), Some(Held::Socket(_)))
    }

    /// For error reports: each input's list, or nothing.
    pub(super) fn shown(&self) -> IndexMap<String, Vec<Json>> {
        let values = |held: &Held| match held {
            Held::Socket(socket) => socket.iter().take(MOST_SHOWN).map(shown).collect(),
            Held::Later => vec![Json::Null],
        };
        self.0.iter().map(|(name, held)| (name.clone(), values(held))).collect()
    }

    /// The arguments of each call.
    fn calls(&self, class: &Class) -> Result<Vec<IndexMap<String, Arg>>, NodeError> {
        if class.traits.takes_lists {
            let whole = |held: &Held| match held {
                Held::Socket(socket) => Arg::All(socket.clone()),
                Held::Later => Arg::Later,
            };
            return Ok(vec![self.0.iter().map(|(name, held)| (name.clone(), whole(held))).collect()]);
        }
        let length = |held: &Held| match held {
            Held::Socket(socket) => socket.len(),
            Held::Later => 1,
        };
        if let Some((name, _)) = self.0.iter().find(|(_, held)| length(held) == 0) {
            return Err(NodeError::Failed(format!(
                "input '{name}' received an empty list; connect something that gives a value"
            )));
        }
        let calls = self.0.values().map(length).max().unwrap_or(1);
        // A shorter list repeats its last value.
        let nth = |held: &Held, n: usize| match held {
            Held::Socket(socket) => Arg::One(socket[n.min(socket.len() - 1)].clone()),
            Held::Later => Arg::Later,
        };
        Ok((0..calls).map(|n| self.0.iter().map(|(name, held)| (name.clone(), nth(held, n))).collect()).collect())
    }
}

/// How many values of a list an error report shows.
const MOST_SHOWN: usize = 100;

/// A value as error reports show it; of a long text its beginning.
fn shown(value: &Value) -> Json {
    value.downcast::<String>().map_or_else(|| value.shown(), |text| json!(beginning(text)))
}

/// The lazy inputs that the node asks for, in all of its calls.
pub(super) fn needs(class: &Class, inputs: &Inputs) -> Result<Vec<String>, NodeError> {
    let mut needed = Vec::new();
    for args in inputs.calls(class)? {
        if blocker(&args).is_none() {
            for name in class.needs(Args::new(args))? {
                if inputs.lacks(&name) && !needed.contains(&name) {
                    needed.push(name);
                }
            }
        }
    }
    Ok(needed)
}

/// Calls a node once for each value of its longest input list. A call with a blocker among its inputs is not made; its
/// outputs are blockers.
pub(super) fn call_over_lists(
    class: &Class,
    inputs: &Inputs,
    executed: &[NodeId],
    cx: &mut Cx,
) -> Result<Vec<Slice>, NodeError> {
    let mut slices = Vec::new();
    for (n, args) in inputs.calls(class)?.into_iter().enumerate() {
        cx.cancel.check().map_err(|_| NodeError::Cancelled)?;
        (cx.call, cx.graphs) = (n, 0);
        let called = match blocker(&args) {
            Some(blocker) => {
                if let Some(message) = blocker.message {
                    let (node, class) = (cx.node.clone(), class.schema.class.clone());
                    cx.observer.event(Event::Blocked { node, class, message, executed: executed.to_vec() });
                }
                let outputs = class.schema.outputs.iter().map(|_| Blocker::silent().into_socket());
                Ok(Slice::Done(Returned::Values(outputs.collect())))
            }
            None => class.call(Args::new(args), cx).map(Slice::new),
        };
        // Both are asked whether it failed or not: the next node is to begin without them.
        let (settled, shortened) = (memory::settle(), files::was_shortened());
        if shortened {
            let text = "a file that it read was shortened meanwhile; run again when the file is complete";
            return Err(NodeError::Failed(text.to_owned()));
        }
        let slice = called?;
        settled.map_err(|OutOfMemory(text)| NodeError::OutOfMemory(text))?;
        slices.push(slice);
    }
    Ok(slices)
}

fn blocker(args: &IndexMap<String, Arg>) -> Option<Blocker> {
    args.values().find_map(|arg| match arg {
        Arg::One(value) => value.downcast::<Blocker>().cloned(),
        Arg::All(list) => list.iter().find_map(|value| value.downcast::<Blocker>().cloned()),
        Arg::Absent | Arg::Later => None,
    })
}

/// The outputs of several calls, joined.
pub(super) fn joined(calls: impl IntoIterator<Item = Vec<Socket>>) -> Vec<Socket> {
    let mut calls = calls.into_iter();
    let mut outputs: Vec<Socket> = calls.next().unwrap_or_default();
    let more: Vec<Vec<Socket>> = calls.collect();
    if !more.is_empty() {
        for (slot, socket) in outputs.iter_mut().enumerate() {
            let rest = more.iter().filter_map(|call| call.get(slot)).flat_map(|list| list.iter());
            *socket = socket.iter().chain(rest).cloned().collect::<Rc<[_]>>();
        }
    }
    outputs
}
