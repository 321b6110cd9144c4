//! Loops by expansion: the node at the end of a loop puts a copy of everything between its ends in its place.

use std::collections::{HashMap, HashSet};

use redraft_engine::cx::Cx;
use redraft_engine::flow::{Blocker, Expand, Feed, Graph, Link, Raw};
use redraft_engine::io::{Value, Wildcard};
use redraft_engine::node::Run;
use redraft_engine::prompt::NodeId;
use redraft_engine::{Node, Outputs};

use crate::types::FlowControl;

/// What the end's copy of itself is called, so that ids do not grow with every round.
const AGAIN: &str = "Recurse";

/// The names of the values that go through a loop.
const VALUES: [&str; 5] = ["initial_value0", "initial_value1", "initial_value2", "initial_value3", "initial_value4"];

fn or_nothing(value: Option<Wildcard>) -> Wildcard {
    value.unwrap_or_else(|| Wildcard(Value::nothing()))
}

fn feed(value: Option<Wildcard>) -> Feed {
    Feed::Value(or_nothing(value).0)
}

/// The beginning of a loop that goes on while something holds.
#[derive(Node)]
#[node(category = "Testing/Flow", display = "While Loop Open")]
struct TestWhileLoopOpen {
    #[input(default = true)]
    #[allow(dead_code, reason = "the end of the loop asks it")]
    condition: bool,
    initial_value0: Option<Wildcard>,
    initial_value1: Option<Wildcard>,
    initial_value2: Option<Wildcard>,
    initial_value3: Option<Wildcard>,
    initial_value4: Option<Wildcard>,
}

#[derive(Outputs)]
struct Opened {
    #[output(name = "FLOW_CONTROL")]
    flow_control: FlowControl,
    #[output(name = "value0")]
    value0: Wildcard,
    #[output(name = "value1")]
    value1: Wildcard,
    #[output(name = "value2")]
    value2: Wildcard,
    #[output(name = "value3")]
    value3: Wildcard,
    #[output(name = "value4")]
    value4: Wildcard,
}

impl Run for TestWhileLoopOpen {
    type Out = Opened;

    fn run(self, _: &mut Cx) -> anyhow::Result<Opened> {
        Ok(Opened {
            flow_control: FlowControl,
            value0: or_nothing(self.initial_value0),
            value1: or_nothing(self.initial_value1),
            value2: or_nothing(self.initial_value2),
            value3: or_nothing(self.initial_value3),
            value4: or_nothing(self.initial_value4),
        })
    }
}

/// The end of a loop that goes on while something holds.
#[derive(Node)]
#[node(category = "Testing/Flow", display = "While Loop Close", hidden("dynprompt", "unique_id"))]
struct TestWhileLoopClose {
    flow_control: Raw<FlowControl>,
    #[input(force_input)]
    condition: bool,
    initial_value0: Option<Wildcard>,
    initial_value1: Option<Wildcard>,
    initial_value2: Option<Wildcard>,
    initial_value3: Option<Wildcard>,
    initial_value4: Option<Wildcard>,
}

#[derive(Outputs)]
struct Closed {
    #[output(name = "value0")]
    value0: Wildcard,
    #[output(name = "value1")]
    value1: Wildcard,
    #[output(name = "value2")]
    value2: Wildcard,
    #[output(name = "value3")]
    value3: Wildcard,
    #[output(name = "value4")]
    value4: Wildcard,
}

impl Run for TestWhileLoopClose {
    type Out = Expand<Closed>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let values =
            [self.initial_value0, self.initial_value1, self.initial_value2, self.initial_value3, self.initial_value4];
        if !self.condition {
            let [value0, value1, value2, value3, value4] = values.map(or_nothing);
            return Ok(Expand::Done(Closed { value0, value1, value2, value3, value4 }));
        }
        let Feed::Link(Link { node: open, .. }) = self.flow_control.feed else {
            anyhow::bail!("input 'flow_control' is no link; connect it to the beginning of the loop");
        };
        let close = cx.node.clone();
        let body = body(cx, &open, &close);
        let mut graph = Graph::new(cx);
        let name = |id: &NodeId| if *id == close { AGAIN.to_owned() } else { id.to_string() };
        for id in &body {
            let Some(original) = cx.graph_node(id) else { continue };
            let copy = graph.named(&name(id), &original.class, []);
            graph.show_as(&copy, id.clone());
            for (input, fed) in original.inputs {
                let fed = match fed {
                    Feed::Link(link) if body.contains(&link.node) => {
                        Feed::link(&graph.id(&name(&link.node)), link.slot)
                    }
                    other => other,
                };
                graph.set(&copy, &input, fed);
            }
        }
        let open = graph.id(&name(&open));
        for (input, value) in VALUES.into_iter().zip(values) {
            graph.set(&open, input, feed(value));
        }
        let again = graph.id(AGAIN);
        Ok(Expand::Into(graph, (0..VALUES.len()).map(|slot| Feed::link(&again, slot)).collect()))
    }
}

/// The nodes on the ways from the beginning of a loop to its end, both included.
fn body(cx: &Cx, open: &NodeId, close: &NodeId) -> Vec<NodeId> {
    let mut users: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    let mut stack = vec![close.clone()];
    let mut seen = HashSet::from([close.clone()]);
    while let Some(id) = stack.pop() {
        for fed in cx.graph_node(&id).into_iter().flat_map(|node| node.inputs.into_values()) {
            if let Feed::Link(Link { node: source, .. }) = fed {
                users.entry(source.clone()).or_default().push(id.clone());
                if seen.insert(source.clone()) {
                    stack.push(source);
                }
            }
        }
    }
    let mut body = vec![open.clone()];
    let mut next = 0;
    while let Some(id) = body.get(next).cloned() {
        for user in users.get(&id).into_iter().flatten() {
            if !body.contains(user) {
                body.push(user.clone());
            }
        }
        next += 1;
    }
    if !body.contains(close) {
        body.push(close.clone());
    }
    body
}

/// The beginning of a loop of so many rounds.
#[derive(Node)]
#[node(category = "Testing/Flow", display = "For Loop Open")]
struct TestForLoopOpen {
    #[input(default = 1, min = 0, max = 100_000, step = 1)]
    remaining: i64,
    initial_value1: Option<Wildcard>,
    initial_value2: Option<Wildcard>,
    initial_value3: Option<Wildcard>,
    initial_value4: Option<Wildcard>,
    /// What the end of the loop sets for the next round.
    #[input(hidden)]
    initial_value0: Option<Wildcard>,
}

#[derive(Outputs)]
struct ForOpened {
    #[output(name = "flow_control")]
    flow_control: FlowControl,
    #[output(name = "remaining")]
    remaining: i64,
    #[output(name = "value1")]
    value1: Wildcard,
    #[output(name = "value2")]
    value2: Wildcard,
    #[output(name = "value3")]
    value3: Wildcard,
    #[output(name = "value4")]
    value4: Wildcard,
}

impl Run for TestForLoopOpen {
    type Out = Expand<ForOpened>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let set = self.initial_value0.as_ref().and_then(|value| value.0.downcast::<i128>().copied());
        let remaining = set.map_or(Ok(self.remaining), i64::try_from)?;
        let values = [self.initial_value1, self.initial_value2, self.initial_value3, self.initial_value4];
        let mut graph = Graph::new(cx);
        let inputs = VALUES[1..].iter().copied().zip(values.clone().map(feed));
        let counted = [("condition", Feed::from(remaining)), (VALUES[0], Feed::from(remaining))];
        graph.node("TestWhileLoopOpen", counted.into_iter().chain(inputs));
        let results = [Feed::from(FlowControl), Feed::from(remaining)].into_iter().chain(values.map(feed));
        Ok(Expand::Into(graph, results.collect()))
    }
}

/// The end of a loop of so many rounds.
#[derive(Node)]
#[node(category = "Testing/Flow", display = "For Loop Close")]
struct TestForLoopClose {
    flow_control: Raw<FlowControl>,
    initial_value1: Option<Raw<Wildcard>>,
    initial_value2: Option<Raw<Wildcard>>,
    initial_value3: Option<Raw<Wildcard>>,
    initial_value4: Option<Raw<Wildcard>>,
}

#[derive(Outputs)]
struct ForClosed {
    #[output(name = "value1")]
    value1: Wildcard,
    #[output(name = "value2")]
    value2: Wildcard,
    #[output(name = "value3")]
    value3: Wildcard,
    #[output(name = "value4")]
    value4: Wildcard,
}

impl Run for TestForLoopClose {
    type Out = Expand<ForClosed>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let flow_control = self.flow_control.feed;
        let Feed::Link(Link { node: open, .. }) = &flow_control else {
            anyhow::bail!("input 'flow_control' is no link; connect it to the beginning of the loop");
        };
        let mut graph = Graph::new(cx);
        let inputs =
            [("operation", Feed::from("subtract".to_owned())), ("a", Feed::link(open, 1)), ("b", Feed::from(1_i64))];
        let left = graph.node("TestIntMathOperation", inputs);
        let goes_on = graph.node("TestToBoolNode", [("value", Feed::link(&left, 0))]);
        let fixed =
            [("flow_control", flow_control), ("condition", Feed::link(&goes_on, 0)), (VALUES[0], Feed::link(&left, 0))];
        let values = [self.initial_value1, self.initial_value2, self.initial_value3, self.initial_value4];
        let values = values.map(|raw| raw.map_or_else(Feed::nothing, |raw| raw.feed));
        let close = graph.node("TestWhileLoopClose", fixed.into_iter().chain(VALUES[1..].iter().copied().zip(values)));
        Ok(Expand::Into(graph, (1..VALUES.len()).map(|slot| Feed::link(&close, slot)).collect()))
    }
}

/// Hands on a value, or keeps those behind it from running.
#[derive(Node)]
#[node(category = "Testing/Flow", display = "Execution Blocker", class = "TestExecutionBlocker")]
struct TestExecutionBlockerNode {
    input: Wildcard,
    block: bool,
    #[input(default = false)]
    verbose: bool,
}

#[derive(Outputs)]
struct Blocked {
    #[output(name = "output")]
    output: Result<Wildcard, Blocker>,
}

impl Run for TestExecutionBlockerNode {
    type Out = Blocked;

    fn run(self, _: &mut Cx) -> anyhow::Result<Blocked> {
        let blocker = || if self.verbose { Blocker::because("Blocked Execution") } else { Blocker::silent() };
        Ok(Blocked { output: if self.block { Err(blocker()) } else { Ok(self.input) } })
    }
}
