//! What steers a run: lazy inputs, blockers, nodes that put nodes in their place, nodes that wait, and what is reused. A toy
//! pack of whole numbers; `tests/execution.rs` of the root package has ComfyUI's own tests.
#![allow(clippy::unwrap_used)]

mod bench;

use std::cell::Cell;
use std::time::Duration;

use bench::{Bench, prompt};
use redraft_engine::Node;
use redraft_engine::cache::Policy;
use redraft_engine::cx::{Cancel, Cx, Metadata};
use redraft_engine::event::{Event, Observer};
use redraft_engine::exec::Outcome;
use redraft_engine::failure::Cause;
use redraft_engine::flow::{Blocker, Expand, Feed, Graph, Later, Lazy, Raw, Rest, Wants};
use redraft_engine::io::{List, Wildcard};
use redraft_engine::node::{Fingerprint, Offer, Registry, Run};
use redraft_engine::plan::Plan;
use redraft_engine::prompt::Targets;
use redraft_engine::schema::Schemas;
use serde_json::{Value as Json, json};

#[derive(Node)]
#[node(category = "flow")]
struct Int {
    value: i64,
}

impl Run for Int {
    type Out = i64;
    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        Ok(self.value)
    }
}

/// Takes `a` if `which` is 0, `b` if it is 1, else their sum.
#[derive(Node)]
#[node(category = "flow")]
struct Choose {
    #[input(force_input)]
    which: i64,
    #[input(force_input)]
    a: Lazy<i64>,
    #[input(force_input)]
    b: Lazy<Option<i64>>,
}

impl Run for Choose {
    type Out = i64;

    fn needs(&self, wants: &mut Wants) -> anyhow::Result<()> {
        if self.which != 1 {
            wants.ask(&self.a);
        }
        if self.which != 0 {
            wants.ask(&self.b);
        }
        if self.which == 9 {
            wants.ask_for("nowhere");
        }
        if self.which == 10 {
            wants.ask_for("which");
        }
        Ok(())
    }

    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        Ok(match self.which {
            0 => self.a.get()?,
            1 => self.b.get()?.unwrap_or(-1),
            2 => self.a.get()? + self.b.get()?.unwrap_or(-1),
            other => other,
        })
    }
}

#[derive(Node)]
#[node(category = "flow")]
struct MakeList {
    #[input(rest)]
    values: Rest<Wildcard>,
}

impl Run for MakeList {
    type Out = List<Wildcard>;
    fn run(self, _: &mut Cx) -> anyhow::Result<List<Wildcard>> {
        Ok(List(self.values.0.into_values().collect()))
    }
}

#[derive(Node)]
#[node(category = "flow")]
struct Block {
    input: Wildcard,
    block: bool,
    message: String,
}

impl Run for Block {
    type Out = Result<Wildcard, Blocker>;
    fn run(self, _: &mut Cx) -> anyhow::Result<Self::Out> {
        Ok(match (self.block, self.message.as_str()) {
            (false, _) => Ok(self.input),
            (true, "") => Err(Blocker::silent()),
            (true, message) => Err(Blocker::because(message)),
        })
    }
}

/// Adds 1 to `total` as often as `count` says, by a copy of itself behind each addition.
#[derive(Node)]
#[node(category = "flow")]
struct CountDown {
    count: i64,
    total: i64,
}

impl Run for CountDown {
    type Out = Expand<(i64, i64)>;
    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        if self.count == 0 {
            return Ok(Expand::Done((self.total, 7)));
        }
        let mut graph = Graph::new(cx);
        let more = graph.node("Add", [("a", Feed::from(self.total))]);
        let rest = graph.node("CountDown", [("count", Feed::from(self.count - 1)), ("total", Feed::link(&more, 0))]);
        Ok(Expand::Into(graph, vec![Feed::link(&rest, 0), Feed::from(self.count)]))
    }
}

/// `b` has a default, which a node made at run time may leave out, too.
#[derive(Node)]
#[node(category = "flow")]
struct Add {
    a: i64,
    #[input(default = 1)]
    b: i64,
}

impl Run for Add {
    type Out = i64;
    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        Ok(self.a + self.b)
    }
}

/// Puts nodes in its place of which something is wrong.
#[derive(Node)]
#[node(category = "flow")]
struct Wrong {
    how: String,
}

impl Run for Wrong {
    type Out = Expand<i64>;
    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let mut graph = Graph::new(cx);
        let one = graph.node("Add", []);
        let two = graph.node("Add", [("a", Feed::link(&one, 0))]);
        match self.how.as_str() {
            "cycle" => graph.set(&one, "a", Feed::link(&two, 0)),
            "class" => drop(graph.node("NoSuchClass", [])),
            "link" => graph.set(&one, "a", Feed::link(&"77".into(), 0)),
            "itself" => graph.set(&one, "a", Feed::link(cx.node, 0)),
            "panic" => drop(graph.named("bad", "Show", [("value", Feed::from("panic".to_owned()))])),
            _ => {}
        }
        Ok(Expand::Into(graph, vec![Feed::link(&two, 0)]))
    }
}

/// How many nodes sleep in [`sleepers`].
const SLEEPERS: usize = 3;

thread_local! {
    /// How many have begun to sleep together.
    static ASLEEP: Cell<usize> = const { Cell::new(0) };
}

/// Waits until all of [`sleepers`] have come so far, which they do only if they wait side by side.
async fn all_sleep() {
    ASLEEP.set(ASLEEP.get() + 1);
    while ASLEEP.get() < SLEEPERS {
        futures_timer::Delay::new(Duration::from_millis(1)).await;
    }
}

#[derive(Node)]
#[node(category = "flow")]
struct Sleep {
    value: Wildcard,
    milliseconds: u64,
    how: String,
}

impl Run for Sleep {
    type Out = Later<Wildcard>;
    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let reporter = cx.reporter();
        Ok(Later::new(async move {
            reporter.progress(0, 2)?;
            futures_timer::Delay::new(Duration::from_millis(self.milliseconds)).await;
            if self.how == "together" {
                all_sleep().await;
            }
            reporter.progress(1, 2)?;
            match self.how.as_str() {
                "error" => anyhow::bail!("it slept badly"),
                "panic" => panic!("it fell out of bed"),
                _ => Ok(self.value),
            }
        }))
    }
}

#[derive(Node)]
#[node(category = "flow", output)]
struct Show {
    value: Wildcard,
}

impl Run for Show {
    type Out = ();
    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        let text = self.value.0.shown();
        if text == "panic" {
            panic!("it was told to");
        }
        cx.ui("text", text.to_string());
        Ok(())
    }
}

/// Counts its own calls, and says which node it is.
#[derive(Node)]
#[node(category = "flow", hidden("unique_id"))]
struct Count {
    #[allow(dead_code)]
    value: i64,
}

impl Run for Count {
    type Out = (i64, String);
    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let calls = cx.kept(|| Cell::new(0));
        calls.set(calls.get() + 1);
        Ok((calls.get(), cx.node.to_string()))
    }
}

/// Depends on something besides its inputs.
#[derive(Node)]
#[node(category = "flow")]
struct Changing {
    #[allow(dead_code)]
    how: String,
    value: i64,
}

impl Run for Changing {
    type Out = i64;
    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        Ok(self.value)
    }
    fn fingerprint(offer: &Offer) -> anyhow::Result<Fingerprint> {
        match offer.constant("how").and_then(Json::as_str) {
            Some("never") => Ok(Fingerprint::Never),
            Some("error") => anyhow::bail!("cannot say"),
            _ => Ok(Fingerprint::Of(json!(offer.constant("value").map(|value| value.as_i64().unwrap() % 2)))),
        }
    }
}

/// Takes even numbers only, be they beyond the limit.
#[derive(Node)]
#[node(category = "flow", validates("value"))]
struct Even {
    #[input(max = 10)]
    value: i64,
    #[input(max = 10)]
    other: i64,
}

impl Run for Even {
    type Out = i64;
    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        Ok(self.value + self.other)
    }
    fn validate(offer: &Offer) -> Result<(), String> {
        match offer.constant("value").and_then(Json::as_i64) {
            Some(odd) if odd % 2 == 1 => Err(format!("{odd} is odd; use an even number")),
            _ => Ok(()),
        }
    }
}

/// Says what its link is, and what the node behind it was given.
#[derive(Node)]
#[node(category = "flow", hidden("dynprompt"))]
struct Behind {
    #[input(force_input)]
    value: Raw<i64>,
}

impl Run for Behind {
    type Out = String;
    fn run(self, cx: &mut Cx) -> anyhow::Result<String> {
        let Feed::Link(link) = self.value.feed else { anyhow::bail!("it is no link") };
        let node = cx.graph_node(&link.node).unwrap();
        let given = node.inputs.iter().map(|(name, feed)| match feed {
            Feed::Value(value) => format!("{name}={}", value.shown()),
            Feed::Link(link) => format!("{name}<-{}", link.node),
        });
        Ok(format!("{} {} {} {}", link.node, link.slot, node.class, given.collect::<Vec<_>>().join(" ")))
    }
}

fn choose(which: i64) -> Json {
    json!({
        "1": {"class": "Int", "value": 10},
        "2": {"class": "Int", "value": 20},
        "3": {"class": "Int", "value": which},
        "4": {"class": "Choose", "which": ["3", 0], "a": ["1", 0], "b": ["2", 0]},
        "5": {"class": "Show", "value": ["4", 0]}
    })
}

#[test]
fn a_lazy_input_is_pulled_in_only_if_asked_for() {
    for (which, called, result) in [
        (0, &["3", "4", "1", "4", "5"][..], "10"),
        (1, &["3", "4", "2", "4", "5"], "20"),
        (2, &["3", "4", "1", "2", "4", "5"], "30"),
    ] {
        let seen = Bench::new().done(choose(which));
        assert_eq!(seen.called(), called);
        assert_eq!(seen.texts(), [result]);
    }
}

#[test]
fn a_lazy_input_that_is_at_hand_must_be_asked_for_all_the_same() {
    let mut bench = Bench::new();
    bench.done(choose(2));
    assert_eq!(bench.done(choose(0)).called(), ["3", "4", "4", "5"]);
}

#[test]
fn asking_over_a_list_asks_for_all_calls_at_once() {
    let seen = Bench::new().done(json!({
        "1": {"class": "Int", "value": 10},
        "2": {"class": "Int", "value": 20},
        "3": {"class": "Int", "value": 0},
        "4": {"class": "Int", "value": 1},
        "5": {"class": "MakeList", "x": ["3", 0], "y": ["4", 0]},
        "6": {"class": "Choose", "which": ["5", 0], "a": ["1", 0], "b": ["2", 0]},
        "7": {"class": "Show", "value": ["6", 0]}
    }));
    assert_eq!(seen.called().iter().filter(|id| *id == "6").count(), 2);
    assert_eq!(seen.output("6"), [10, 20]);
    assert_eq!(seen.texts(), ["10", "20"]);
}

#[test]
fn asking_for_what_nobody_can_give_is_an_error() {
    let (failure, _) = Bench::new().failure(choose(9));
    let message = "Node 4 says it needs input nowhere, but there is no input to that node at all";
    assert_eq!((failure.cause, &*failure.message), (Cause::NodeInput, message));
    // What is there already may be asked for.
    assert_eq!(Bench::new().done(choose(10)).texts(), ["10"]);
}

#[test]
fn a_blocker_keeps_those_behind_it_from_running_value_by_value() {
    let nodes = |message: &str| {
        json!({
            "1": {"class": "Int", "value": 1},
            "2": {"class": "Int", "value": 2},
            "3": {"class": "MakeList", "x": ["1", 0], "y": ["2", 0]},
            "4": {"class": "Choose", "which": ["3", 0], "a": ["1", 0], "b": ["2", 0]},
            "5": {"class": "Block", "input": ["4", 0], "block": true, "message": message},
            "6": {"class": "Add", "a": ["5", 0], "b": 1},
            "7": {"class": "Add", "a": ["6", 0], "b": 1},
            "8": {"class": "Show", "value": ["7", 0]}
        })
    };
    let seen = Bench::new().done(nodes(""));
    assert_eq!(seen.socket("7", 0), [json!("BLOCKER"), json!("BLOCKER")]);
    assert!(seen.texts().is_empty() && seen.called().contains(&"8".to_owned()));
    // The first that is kept from running tells why, and nobody else.
    let seen = Bench::new().done(nodes("not today"));
    let told = seen.events.iter().filter_map(|event| match event {
        Event::Blocked { node, message, .. } => Some(format!("{node}: {message}")),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["6: not today", "6: not today"]);
}

#[test]
fn a_node_may_put_nodes_in_its_place_and_those_may_again() {
    let nodes = |count: i64| {
        json!({
            "1": {"class": "CountDown", "count": count, "total": 0},
            "2": {"class": "Show", "value": ["1", 0]},
            "3": {"class": "Show", "value": ["1", 1]}
        })
    };
    let mut bench = Bench::new();
    let seen = bench.done(nodes(3));
    assert_eq!((seen.socket("1", 0), seen.socket("1", 1)), (vec![json!(3)], vec![json!(3)]));
    let called = ["1", "1.0.0.1", "1.0.0.2", "1.0.0.2.0.0.1", "1.0.0.2.0.0.2"];
    assert_eq!(seen.called()[..5], called);
    assert!(seen.events.iter().all(|event| match event {
        Event::Executing { node, display_node, .. } => node.as_str().split('.').next() == Some(display_node.as_str()),
        _ => true,
    }));
    // The whole is cached under the node's own key.
    assert!(bench.done(nodes(3)).called().is_empty());
    assert_eq!(bench.done(nodes(5)).texts(), ["5", "5"]);
}

#[test]
fn a_deep_expansion_needs_no_stack() {
    let seen = Bench::new().done(json!({
        "1": {"class": "CountDown", "count": 300, "total": 0},
        "2": {"class": "Show", "value": ["1", 0]}
    }));
    assert_eq!(seen.texts(), ["300"]);
}

#[test]
fn expansion_of_some_values_of_a_list_is_joined_with_the_others() {
    let seen = Bench::new().done(json!({
        "1": {"class": "Int", "value": 0},
        "2": {"class": "Int", "value": 2},
        "3": {"class": "MakeList", "x": ["2", 0], "y": ["1", 0], "z": ["2", 0]},
        "4": {"class": "CountDown", "count": ["3", 0], "total": 10},
        "5": {"class": "Show", "value": ["4", 0]}
    }));
    assert_eq!(seen.output("4"), [12, 10, 12]);
    assert_eq!(seen.socket("4", 1), [json!(2), json!(7), json!(2)]);
    let made = |event: &Event| match event {
        Event::Expanded { node, made } if node.as_str() == "4" => Some(made[0].node.to_string()),
        _ => None,
    };
    assert_eq!(seen.events.iter().filter_map(made).collect::<Vec<_>>(), ["4.0.0.1", "4.2.0.1"]);
    // What is the same in both is computed once.
    assert!(seen.called().contains(&"4.0.0.1".to_owned()) && !seen.called().contains(&"4.2.0.1".to_owned()));
}

#[test]
fn what_is_wrong_with_nodes_made_at_run_time_is_told_of_the_node_that_made_them() {
    for (how, message) in [
        ("class", "node 1 (Wrong): it made a node of the class NoSuchClass, which does not exist"),
        ("link", "node 1 (Wrong): it made a link to node 77, which does not exist"),
        (
            "cycle",
            "node 1 (Wrong): the nodes that it made depend on each other: 1.0.0.1 -> 1.0.0.2 -> 1.0.0.1; remove one of \
             these links",
        ),
        (
            "itself",
            "node 1 (Wrong): the nodes that it made depend on each other: 1.0.0.1 -> 1.0.0.2 -> 1 -> 1.0.0.1; remove one \
             of these links",
        ),
        (
            "panic",
            "node 1 (Wrong), in node 1.0.0.bad (Show) that it made: it cannot work with these inputs; give it others",
        ),
    ] {
        let mut bench = Bench::new();
        let nodes = json!({
            "1": {"class": "Wrong", "how": how},
            "2": {"class": "Show", "value": ["1", 0]}
        });
        let (failure, seen) = bench.failure(nodes);
        assert_eq!(failure.to_string(), message);
        assert!(matches!(seen.events.last(), Some(Event::Error(_))));
        if how == "cycle" {
            let json = json!(failure);
            assert_eq!(json["exception_message"], "Dependency cycle detected");
            assert_eq!(json["exception_type"], "graph.DependencyCycleError");
            assert_eq!(json["node_id"], "1");
        }
        assert_eq!(bench.done(choose(0)).texts(), ["10"], "the next run is none the worse");
    }
}

fn sleepers(how: &str, others: &str) -> Json {
    json!({
        "1": {"class": "Int", "value": 5},
        "2": {"class": "Sleep", "value": ["1", 0], "milliseconds": 10, "how": others},
        "3": {"class": "Sleep", "value": ["1", 0], "milliseconds": 11, "how": how},
        "4": {"class": "Sleep", "value": ["1", 0], "milliseconds": 12, "how": others},
        "5": {"class": "Show", "value": ["2", 0]},
        "6": {"class": "Show", "value": ["3", 0]},
        "7": {"class": "Show", "value": ["4", 0]}
    })
}

#[test]
fn nodes_that_wait_wait_together() {
    let mut bench = Bench::new();
    let seen = bench.done(sleepers("together", "together"));
    // All have begun before the first is done.
    assert_eq!(seen.called()[..4], ["1", "2", "3", "4"]);
    assert_eq!(seen.texts(), ["5", "5", "5"]);
    let steps = seen.events.iter().filter(|event| matches!(event, Event::Progress { total: 2, .. })).count();
    assert_eq!(steps, 6);
    assert!(bench.done(sleepers("together", "together")).called().is_empty());
}

#[test]
fn one_that_waits_may_fail() {
    for (how, message) in [("error", "it slept badly"), ("panic", "it cannot work with these inputs; give it others")] {
        let (failure, _) = Bench::new().failure(sleepers(how, ""));
        assert_eq!((failure.node.as_str(), &*failure.message), ("3", message));
        assert_eq!(json!(failure.inputs), json!({"value": [5], "milliseconds": [11], "how": [how]}));
    }
}

/// Tells another thread when a node sleeps.
struct Telling {
    events: Vec<Event>,
    sleeps: std::sync::mpsc::Sender<()>,
}

impl Observer for Telling {
    fn event(&mut self, event: Event) {
        if matches!(event, Event::Progress { .. }) {
            let _ = self.sleeps.send(());
        }
        self.events.push(event);
    }
}

#[test]
fn waiting_ends_when_the_run_is_cancelled() {
    let bench = Bench::new();
    let nodes = json!({
        "1": {"class": "Sleep", "value": 1, "milliseconds": 60_000, "how": ""},
        "2": {"class": "Show", "value": ["1", 0]}
    });
    let mut engine = bench.engine;
    let plan = Plan::new(prompt(nodes), &bench.registry, &engine.folders, &Targets::Outputs, "").unwrap();
    let cancel = Cancel::default();
    let (sleeps, when_it_sleeps) = std::sync::mpsc::channel();
    let raise = cancel.clone();
    std::thread::spawn(move || {
        when_it_sleeps.recv().unwrap();
        raise.raise();
    });
    let mut seen = Telling { events: Vec::new(), sleeps };
    let outcome = engine.run(&plan, &Metadata::default(), &mut seen, &cancel);
    assert_eq!(outcome, Outcome::Cancelled);
    assert!(matches!(seen.events.last(), Some(Event::Interrupted { node, .. }) if node.as_str() == "1"));
}

#[test]
fn a_node_keeps_what_it_wants_for_as_long_as_it_stays() {
    let nodes = |value: i64| {
        json!({
            "1": {"class": "Count", "value": value},
            "2": {"class": "Count", "value": value},
            "3": {"class": "Show", "value": ["1", 0]},
            "4": {"class": "Show", "value": ["2", 1]}
        })
    };
    let mut bench = Bench::new();
    // Two that know their ids do not share results, although their inputs are equal.
    let seen = bench.done(nodes(0));
    assert_eq!((seen.output("1"), seen.socket("2", 1)), (vec![1], vec![json!("2")]));
    assert_eq!(bench.done(nodes(1)).output("1"), [2]);
    bench.done(choose(0));
    assert_eq!(bench.done(nodes(2)).output("1"), [1]);
}

#[test]
fn a_fingerprint_is_part_of_the_key() {
    let nodes = |how: &str, value: i64| {
        json!({
            "1": {"class": "Changing", "how": how, "value": value},
            "2": {"class": "Show", "value": ["1", 0]}
        })
    };
    let mut bench = Bench::new();
    bench.done(nodes("", 2));
    assert!(bench.done(nodes("", 2)).called().is_empty());
    for how in ["never", "error"] {
        bench.done(nodes(how, 2));
        assert_eq!(bench.done(nodes(how, 2)).called(), ["1", "2"], "{how}");
    }
}

#[test]
fn a_class_may_check_its_inputs_itself() {
    let nodes = |value: i64, other: i64| {
        json!({
            "1": {"class": "Even", "value": value, "other": other},
            "2": {"class": "Show", "value": ["1", 0]}
        })
    };
    assert_eq!(Bench::new().done(nodes(12, 5)).texts(), ["17"], "its own check replaces the limit");
    let problems = Bench::new().problems(nodes(3, 11));
    let found: Vec<_> = problems.0.iter().map(|p| (&*p.comfy_type, p.details.as_str())).collect();
    let odd = ("custom_validation_failed", "value - 3 is odd; use an even number");
    assert_eq!(found, [("value_bigger_than_max", "other"), odd]);
}

#[test]
fn a_raw_input_is_the_link_itself() {
    let seen = Bench::new().done(json!({
        "1": {"class": "Int", "value": 4},
        "2": {"class": "Add", "a": ["1", 0], "b": 5},
        "3": {"class": "Behind", "value": ["2", 0]},
        "4": {"class": "Show", "value": ["3", 0]}
    }));
    assert_eq!(seen.socket("3", 0), [json!("2 0 Add a<-1 b=5")]);
    let registry = Registry::linked().unwrap();
    let info = registry.schema("Behind").unwrap().to_object_info(&());
    assert_eq!(info["input"]["required"]["value"][1]["rawLink"], true);
    assert_eq!(registry.schema("Choose").unwrap().to_object_info(&())["input"]["optional"]["b"][1]["lazy"], true);
}

#[test]
fn only_what_is_asked_for_runs_and_what_ran_before_is_kept() {
    let nodes = || {
        json!({
            "1": {"class": "Int", "value": 4},
            "2": {"class": "Int", "value": 5},
            "3": {"class": "Show", "value": ["1", 0]},
            "4": {"class": "Show", "value": ["2", 0]}
        })
    };
    let only = |id: &str| Targets::Only(vec![id.into()]);
    let mut bench = Bench::new();
    assert_eq!(bench.run_targets(nodes(), &only("3")).1.called(), ["1", "3"]);
    assert_eq!(bench.run_targets(nodes(), &only("2")).1.called(), ["2"]);
    // As in ComfyUI, the results of other nodes of the same workflow are still there.
    assert!(bench.run_targets(nodes(), &only("3")).1.called().is_empty());
}

#[test]
fn every_policy_computes_the_same() {
    for policy in ["classic", "lru:0", "lru:100", "none", "ram:0.001"] {
        let mut bench = Bench::with(policy.parse::<Policy>().unwrap());
        let nodes = json!({
            "1": {"class": "CountDown", "count": 2, "total": 0},
            "2": {"class": "Add", "a": ["1", 0], "b": ["1", 1]},
            "3": {"class": "Choose", "which": 2, "a": ["2", 0], "b": ["1", 0]},
            "4": {"class": "Show", "value": ["3", 0]},
            "5": {"class": "Show", "value": ["2", 0]}
        });
        let first = bench.done(nodes.clone());
        assert_eq!((first.output("3"), first.output("2")), (vec![6], vec![4]), "{policy}");
        let again = bench.done(nodes);
        assert_eq!(again.called().is_empty(), policy != "none", "{policy}: {:?}", again.called());
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts
        };
        assert_eq!(sorted(first.texts()), sorted(again.texts()), "{policy}");
    }
}
