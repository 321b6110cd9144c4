//! The engine with a toy pack of nodes: milliseconds, no tensors.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, prompt};
use redraft_engine::cx::{Cancel, Cx, Metadata};
use redraft_engine::event::Event;
use redraft_engine::exec::Outcome;
use redraft_engine::io::List;
use redraft_engine::node::{Node as _, Registry, Run};
use redraft_engine::plan::Plan;
use redraft_engine::problem::ProblemKind;
use redraft_engine::prompt::Targets;
use redraft_engine::schema::{Kind, Schemas};
use redraft_engine::{Combo, Inputs, Node};
use serde_json::{Value as Json, json};

/// A whole number.
#[derive(Node)]
#[node(category = "toy", display = "A number")]
struct ToyInt {
    /// The number itself.
    #[input(default = 7, min = 0, max = 100)]
    value: u64,
}

impl Run for ToyInt {
    type Out = u64;
    fn run(self, cx: &mut Cx) -> anyhow::Result<u64> {
        cx.progress(1, 1)?;
        Ok(self.value)
    }
}

#[derive(Combo, Debug, PartialEq)]
enum Operation {
    Add,
    TakeAway,
}

#[derive(Node)]
#[node(category = "toy")]
struct ToyMath {
    #[input(force_input)]
    a: i64,
    #[input(force_input)]
    b: Option<i64>,
    operation: Operation,
}

impl Run for ToyMath {
    type Out = i64;
    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        let b = self.b.unwrap_or(1);
        Ok(match self.operation {
            Operation::Add => self.a + b,
            Operation::TakeAway => self.a - b,
        })
    }
}

#[derive(Node)]
#[node(category = "toy")]
struct ToyRange {
    count: i64,
}

impl Run for ToyRange {
    type Out = List<i64>;
    fn run(self, _: &mut Cx) -> anyhow::Result<List<i64>> {
        Ok(List((0..self.count).collect()))
    }
}

#[derive(Node)]
#[node(category = "toy")]
struct ToySum {
    #[input(force_input)]
    values: List<i64>,
}

impl Run for ToySum {
    type Out = i64;
    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        Ok(self.values.0.into_iter().sum())
    }
}

#[derive(Inputs)]
struct Summands {
    #[input(force_input)]
    values: List<i64>,
    /// How often each is added.
    #[input(default = 2)]
    times: i64,
}

#[derive(Node)]
#[node(category = "toy")]
struct ToyTimes {
    before: i64,
    #[input(flatten)]
    summands: Summands,
    behind: i64,
}

impl Run for ToyTimes {
    type Out = i64;
    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        let Summands { values, times } = self.summands;
        Ok(self.before + times * values.0.into_iter().sum::<i64>() + self.behind)
    }
}

/// Fails in the way it is told.
#[derive(Node)]
#[node(category = "toy", output)]
struct ToyEnd {
    #[input(force_input)]
    value: i64,
    #[input(default = "")]
    how: String,
}

impl Run for ToyEnd {
    type Out = ();
    fn run(self, _: &mut Cx) -> anyhow::Result<()> {
        match self.how.as_str() {
            "panic" => panic!("called `unwrap()`: Torch(\"The sizes differ\\nException raised from x\")"),
            "error" => anyhow::bail!("it is {}", self.value),
            "memory" => anyhow::bail!("CUDA out of memory. Tried to allocate"),
            _ => Ok(()),
        }
    }
}

fn sum_of_two() -> Json {
    json!({
        "9": {"class": "ToyEnd", "value": ["3", 0], "how": ""},
        "1": {"class": "ToyInt", "value": 5},
        "2": {"class": "ToyInt", "value": 8.0},
        "3": {"class": "ToyMath", "a": ["1", 0], "b": ["2", 0], "operation": "take_away"},
        "4": {"class": "ToyInt", "value": 1}
    })
}

#[test]
fn only_what_the_outputs_need_is_called_sources_first() {
    let (outcome, seen) = Bench::new().run(sum_of_two());
    assert_eq!(outcome, Outcome::Done);
    // Of two sources the last is called first, as in ComfyUI.
    assert_eq!(seen.called(), ["2", "1", "3", "9"]);
    assert_eq!(seen.output("3"), [-3]);
}

#[test]
fn a_second_run_calls_only_what_changed() {
    let mut bench = Bench::new();
    bench.run(sum_of_two());
    assert_eq!(bench.run(sum_of_two()).1.called(), [""; 0]);
    let mut changed = sum_of_two();
    changed["2"]["value"] = json!(9);
    assert_eq!(bench.run(changed.clone()).1.called(), ["2", "3", "9"]);
    // Other ids, another order, 9.0 for 9: the same workflow.
    let renamed: Json =
        serde_json::from_str(&changed.to_string().replace("\"2\"", "\"77\"").replace(":9,", ":9.0,")).unwrap();
    assert_eq!(bench.run(renamed).1.called(), [""; 0]);
}

#[test]
fn a_list_calls_the_next_node_once_for_each_value() {
    let (_, seen) = Bench::new().run(json!({
        "1": {"class": "ToyRange", "count": 3},
        "2": {"class": "ToyMath", "a": ["1", 0], "operation": "add"},
        "3": {"class": "ToySum", "values": ["2", 0]},
        "4": {"class": "ToyEnd", "value": ["3", 0], "how": ""}
    }));
    assert_eq!(seen.output("2"), [1, 2, 3]);
    assert_eq!(seen.output("3"), [6]);
}

#[test]
fn the_inputs_of_a_group_are_those_of_its_class() {
    let schema = ToyTimes::schema();
    let names: Vec<_> = schema.inputs.iter().map(|input| &*input.name).collect();
    assert_eq!(names, ["before", "values", "times", "behind"]);
    assert_eq!(schema.inputs[2].tooltip, "How often each is added.");
    let (_, seen) = Bench::new().run(json!({
        "1": {"class": "ToyRange", "count": 4},
        "2": {"class": "ToyTimes", "before": 100, "values": ["1", 0], "times": 3, "behind": 1000},
        "3": {"class": "ToyEnd", "value": ["2", 0], "how": ""}
    }));
    assert_eq!(seen.output("2"), [1118], "one call takes the whole list");
}

#[test]
fn a_failing_node_is_named_and_what_was_finished_is_kept() {
    let mut bench = Bench::new();
    for (how, message, memory) in [
        ("panic", "its inputs do not fit together in size, or are too small for it; give it others", false),
        ("error", "it is -3", false),
        ("memory", "CUDA out of memory. Tried to allocate", true),
    ] {
        let mut workflow = sum_of_two();
        workflow["9"]["how"] = json!(how);
        let (outcome, seen) = bench.run(workflow);
        let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
        assert_eq!((failure.node.as_str(), &*failure.class, &*failure.message), ("9", "ToyEnd", message));
        assert_eq!(failure.out_of_memory(), memory);
        assert!(matches!(seen.events.last(), Some(Event::Error(_))));
    }
    assert_eq!(bench.run(sum_of_two()).1.called(), ["9"]);
}

#[test]
fn a_cancelled_run_says_where() {
    let mut bench = Bench::new();
    let cancel = Cancel::default();
    cancel.raise();
    let plan = Plan::new(prompt(sum_of_two()), &bench.registry, &bench.engine.folders, &Targets::Outputs, "").unwrap();
    let mut events: Vec<Event> = Vec::new();
    let outcome = bench.engine.run(&plan, &Metadata::default(), &mut events, &cancel);
    assert_eq!(outcome, Outcome::Cancelled);
    assert!(matches!(events.last(), Some(Event::Interrupted { .. })));
}

#[test]
fn everything_wrong_is_found_at_once() {
    let problems = Bench::new().problems(json!({
        "1": {"class": "ToyInt", "value": 101},
        "2": {"class": "ToyInt", "value": "many"},
        "3": {"class": "ToyMath", "a": ["1", 3], "b": ["44", 0], "operation": "ad"},
        "4": {"class": "ToyEnd", "value": 5, "how": ""},
        "5": {"class": "ToyEnd", "value": ["3", 0], "how": ["6", 0], "extra": ["2", 0]},
        "6": {"class": "ToyIntt"},
        "7": {"class": "ToyEnd"},
        "8": {"class": "ToyEnd", "value": ["9", 0], "how": ["1", 0]},
        "9": {"class": "ToyMath", "a": ["9", 0], "operation": "add"}
    }));
    let mut found: Vec<_> =
        problems.0.iter().map(|p| format!("{} {:?} {:?}", p.node.as_ref().unwrap(), p.input, p.kind)).collect();
    found.sort();
    let want = [
        "1 Some(\"value\") ValueBiggerThanMax",
        "2 Some(\"value\") InvalidInputType",
        "3 Some(\"a\") DanglingLink",
        "3 Some(\"b\") DanglingLink",
        "3 Some(\"operation\") ValueNotInList",
        "5 Some(\"extra\") UndeclaredLink",
        "6 None UnknownClass",
        "7 Some(\"how\") RequiredInputMissing",
        "7 Some(\"value\") RequiredInputMissing",
        "8 Some(\"how\") ReturnTypeMismatch",
        "9 None Cycle",
    ];
    assert_eq!(found, want);
    let text = problems.to_string();
    assert!(text.contains("node 6 (ToyIntt): there is no node class ToyIntt here; did you mean ToyInt?"), "{text}");
    assert!(text.contains("node 9 (ToyMath): depends on itself: 9 -> 9; remove one of these links"), "{text}");
    assert!(
        text.contains("node 1 (ToyInt), input 'value': is 101, bigger than the greatest allowed value 100; set 100"),
        "{text}"
    );
}

#[test]
fn a_longer_cycle_is_named_with_its_way() {
    let problems = Bench::new().problems(json!({
        "1": {"class": "ToyMath", "a": ["3", 0], "operation": "add"},
        "2": {"class": "ToyMath", "a": ["1", 0], "operation": "add"},
        "3": {"class": "ToyMath", "a": ["2", 0], "operation": "add"},
        "4": {"class": "ToyEnd", "value": ["3", 0], "how": ""}
    }));
    assert_eq!(problems.0.len(), 1);
    assert_eq!((problems.0[0].kind, &*problems.0[0].details), (ProblemKind::Cycle, "1 -> 2 -> 3 -> 1"));
}

#[test]
fn a_long_chain_needs_no_stack() {
    let mut nodes = serde_json::Map::new();
    nodes.insert("0".into(), json!({"class": "ToyInt", "value": 1}));
    for i in 1..20_000 {
        nodes.insert(i.to_string(), json!({"class": "ToyMath", "a": [(i - 1).to_string(), 0], "operation": "add"}));
    }
    nodes.insert("end".into(), json!({"class": "ToyEnd", "value": ["19999", 0], "how": ""}));
    let (outcome, seen) = Bench::new().run(Json::Object(nodes));
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(seen.output("19999"), [20_000]);
}

#[test]
fn the_declaration_says_it_all() {
    let registry = Registry::linked().unwrap();
    let schema = registry.schema("ToyInt").unwrap();
    assert_eq!((&*schema.description, &*schema.display_name), ("A whole number.", "A number"));
    assert_eq!(schema.inputs[0].tooltip, "The number itself.");
    assert!(matches!(schema.inputs[0].kind, Kind::Int { default: 7, min: Some(0), max: Some(100), .. }));
    assert_eq!(schema.outputs[0].ty, "INT");
    let info = registry.schema("ToyMath").unwrap().to_object_info(&());
    assert_eq!(info["input"]["required"]["operation"], json!([["add", "take_away"], {}]));
    assert_eq!(info["input_order"], json!({"required": ["a", "operation"], "optional": ["b"]}));
}
