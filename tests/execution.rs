//! ComfyUI's own tests of execution, run on our engine with the same nodes and under the same cache policies; and the messages
//! of whole runs as its executor sent them, recorded in `tests/data/execution-messages.json`. Not recorded is expansion without
//! a cache: there ComfyUI calls sources of new nodes again that we still hold.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};

use redraft_engine::cache::Policy;
use redraft_engine::check::check;
use redraft_engine::constant;
use redraft_engine::cx::{Cancel, Metadata, Services};
use redraft_engine::event::{Event, Observer};
use redraft_engine::exec::{Engine, Outcome};
use redraft_engine::failure::Failure;
use redraft_engine::folders::FolderPaths;
use redraft_engine::frames::Frames;
use redraft_engine::io::Socket;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::problem::Problems;
use redraft_engine::prompt::{Given, NodeId, Prompt, PromptNode, Targets};
use redraft_nodes::models::random::{Layout, Size, write_random_checkpoint};
use redraft_nodes::ops::numerics::Numerics;
use redraft_nodes::values::Image;
use redraft_testing_pack as _;
use serde_json::{Map, Value as Json, json};
use tempfile::TempDir;

/// The policies under which ComfyUI runs its tests, each with whether results are reused.
const POLICIES: [(&str, bool); 4] = [("classic", true), ("lru:0", true), ("lru:100", true), ("none", false)];

/// An engine on a folder of its own.
struct Bench {
    registry: Registry,
    engine: Engine,
    folder: TempDir,
}

/// What happened in a run.
#[derive(Default)]
struct Seen {
    events: Vec<Event>,
    /// The brightness of the pictures that left a node's first output, over all values.
    pictures: HashMap<String, Vec<(f64, f64)>>,
}

impl Observer for Seen {
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    fn outputs(&mut self, node: &NodeId, outputs: &[Socket]) {
        let ranges = outputs.iter().flat_map(|socket| socket.iter()).filter_map(|value| value.downcast::<Image>());
        let ranges = ranges.map(|Image(t)| (t.min().double_value(&[]), t.max().double_value(&[])));
        self.pictures.insert(node.to_string(), ranges.collect());
    }
}

impl Seen {
    fn ran(&self, id: &str) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Executing { node, .. } if node.as_str() == id))
    }

    fn was_cached(&self, id: &str) -> bool {
        let cached = |event: &Event| matches!(event, Event::Cached { nodes } if nodes.iter().any(|n| n.as_str() == id));
        self.events.iter().any(cached)
    }

    fn ran_or_was_cached(&self, id: &str) -> bool {
        self.ran(id) || self.was_cached(id)
    }

    /// The least and the largest value, 0 to 255 as a file has them, of each picture that a node saved.
    fn saved(&self, id: &str) -> Vec<(u8, u8)> {
        let files = self.events.iter().filter_map(|event| match event {
            Event::Executed { node, paths, .. } if node.as_str() == id => Some(paths),
            _ => None,
        });
        let range = |path: &std::path::Path| {
            let pixels = image::open(path).unwrap().into_rgb8().into_raw();
            (*pixels.iter().min().unwrap(), *pixels.iter().max().unwrap())
        };
        files.flatten().map(|path| range(path)).collect()
    }
}

fn read(prompt: &Json) -> Prompt {
    let nodes = prompt.as_object().unwrap().iter().map(|(id, node)| {
        let inputs = node["inputs"].as_object().unwrap().iter().map(|(name, value)| {
            let given = match value.as_array() {
                Some(link) => {
                    Given::link(link[0].as_str().unwrap(), usize::try_from(link[1].as_u64().unwrap()).unwrap())
                }
                None => Given::Constant(value.clone()),
            };
            (name.clone(), given)
        });
        let class_type = node["class_type"].as_str().unwrap().to_owned();
        (NodeId::from(id.as_str()), PromptNode { class_type, inputs: inputs.collect(), title: None })
    });
    Prompt { nodes: nodes.collect() }
}

impl Bench {
    fn new(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for below in ["output", "temp", "input", "models/checkpoints"] {
            fs_err::create_dir_all(folder.path().join(below)).unwrap();
        }
        let mut services = Services::default();
        redraft_nodes::provide(&mut services, Numerics::cpu());
        let policy: Policy = policy.parse().unwrap();
        let engine = Engine::with_cache(FolderPaths::below(folder.path()), services, policy);
        Self { registry: Registry::linked().unwrap(), engine, folder }
    }

    fn plan(&self, graph: &Json, targets: &Targets) -> Result<Plan<'_>, Problems> {
        Plan::new(read(graph), &self.registry, &self.engine.folders, targets, "")
    }

    fn is_valid(&self, graph: &Json) -> bool {
        self.plan(graph, &Targets::Outputs).is_ok()
    }

    fn try_run(&mut self, graph: &Json, targets: &Targets) -> (Outcome, Seen) {
        let plan = Plan::new(read(graph), &self.registry, &self.engine.folders, targets, "").unwrap();
        let mut seen = Seen::default();
        let outcome = self.engine.run(&plan, &Metadata::default(), &mut seen, &Cancel::default());
        (outcome, seen)
    }

    fn run(&mut self, graph: &Json) -> Seen {
        self.run_only(graph, &Targets::Outputs)
    }

    fn run_only(&mut self, graph: &Json, targets: &Targets) -> Seen {
        let (outcome, seen) = self.try_run(graph, targets);
        assert_eq!(outcome, Outcome::Done);
        seen
    }

    fn failure(&mut self, graph: &Json) -> Failure {
        match self.try_run(graph, &Targets::Outputs).0 {
            Outcome::Failed(failure) => *failure,
            other => panic!("{other:?}"),
        }
    }
}

fn node(class: &str, inputs: Json) -> Json {
    json!({ "class_type": class, "inputs": inputs })
}

fn picture(content: &str) -> Json {
    node("StubImage", json!({ "content": content, "height": 32, "width": 32, "batch_size": 1 }))
}

fn mask(value: impl Into<Json>) -> Json {
    node("StubMask", json!({ "value": value.into(), "height": 32, "width": 32, "batch_size": 1 }))
}

fn save(from: &str) -> Json {
    node("SaveImage", json!({ "images": [from, 0], "filename_prefix": "test" }))
}

fn preview(from: &str) -> Json {
    node("PreviewImage", json!({ "images": [from, 0] }))
}

fn mix(image1: &str, image2: &str, mask: &str) -> Json {
    node("TestLazyMixImages", json!({ "image1": [image1, 0], "image2": [image2, 0], "mask": [mask, 0] }))
}

fn lazy(value: f64) -> Json {
    json!({ "1": picture("BLACK"), "2": picture("WHITE"), "3": mask(value), "4": mix("1", "2", "3"), "5": save("4") })
}

fn for_all_policies(test: impl Fn(&mut Bench, bool)) {
    for (policy, reuses) in POLICIES {
        test(&mut Bench::new(policy), reuses);
    }
}

#[test]
fn lazy_input() {
    for_all_policies(|bench, _| {
        let seen = bench.run(&lazy(0.0));
        assert_eq!(seen.saved("5"), [(0, 0)]);
        assert!(seen.ran("1") && !seen.ran("2") && seen.ran("3") && seen.ran("4"));
    });
}

#[test]
fn full_and_partial_cache() {
    for_all_policies(|bench, reuses| {
        bench.run(&lazy(0.5));
        let again = bench.run(&lazy(0.5));
        assert!(["1", "2", "3", "4", "5"].iter().all(|id| again.ran(id) != reuses));
        let changed = bench.run(&lazy(0.4));
        assert!(["1", "2"].iter().all(|id| changed.ran(id) != reuses));
    });
}

#[test]
fn error_with_the_nodes_inputs() {
    for_all_policies(|bench, _| {
        let mut graph = lazy(0.5);
        graph["2"]["inputs"]["height"] = json!(16);
        let failure = bench.failure(&graph);
        assert_eq!((failure.node.as_str(), failure.class.as_str()), ("4", "TestLazyMixImages"));
        let given = json!({"image1": ["IMAGE 1x32x32x3"], "image2": ["IMAGE 1x16x32x3"], "mask": ["MASK 1x32x32"]});
        assert_eq!(json!(failure.inputs), given);
        assert_eq!(failure.executed.iter().map(NodeId::as_str).collect::<HashSet<_>>(), HashSet::from(["1", "2", "3"]));
        bench.run(&lazy(0.5));
    });
}

#[test]
fn custom_validation() {
    let bench = Bench::new("classic");
    let graph = |class: &str, input1: Json, input2: f64| {
        json!({
            "1": node("StubInt", json!({"value": 5})),
            "2": node("StubFloat", json!({"value": 5.0})),
            "3": mask(0.5),
            "4": node(class, json!({"input1": input1, "input2": input2})),
            "5": save("4")
        })
    };
    for (value, valid) in [(json!(5), false), (json!("foo"), false), (json!(5.0), true), (json!(["1", 0]), false)] {
        assert_eq!(bench.is_valid(&graph("TestCustomValidation1", value.clone(), 3.0)), valid, "{value}");
    }
    assert!(!bench.is_valid(&graph("TestCustomValidation1", json!(["3", 0]), 3.0)));
    for class in ["TestCustomValidation2", "TestCustomValidation3", "TestCustomValidation4"] {
        assert!(!bench.is_valid(&graph(class, json!(["1", 0]), 3.0)), "{class}");
        assert!(bench.is_valid(&graph(class, json!(["2", 0]), 3.0)), "{class}");
    }
    for (input2, valid) in [(0.5, true), (5.0, true), (7.0, false)] {
        assert_eq!(bench.is_valid(&graph("TestCustomValidation5", json!(0.0), input2)), valid, "{input2}");
    }
    let async_check = |class: &str, inputs: Json| json!({"1": node(class, inputs), "2": save("1")});
    assert!(bench.is_valid(&async_check("TestAsyncValidation", json!({"value": 5.0, "threshold": 10.0}))));
    assert!(!bench.is_valid(&async_check("TestAsyncValidation", json!({"value": 5.0, "threshold": 3.0}))));
    let problems = bench
        .plan(&async_check("TestAsyncValidationError", json!({"value": 15.0, "max_value": 10.0})), &Targets::Outputs)
        .unwrap_err();
    assert!(problems.0.iter().all(|problem| problem.comfy_type == "custom_validation_failed"), "{problems}");
    assert_eq!(problems.0.len(), 2);
}

#[test]
fn a_cycle_in_the_prompt_is_found_before_anything_runs() {
    let bench = Bench::new("classic");
    let graph = json!({
        "1": picture("BLACK"), "2": picture("WHITE"), "3": mask(0.5),
        "4": mix("1", "5", "3"), "5": mix("4", "2", "3"), "6": save("5")
    });
    let problems = bench.plan(&graph, &Targets::Outputs).unwrap_err();
    assert!(problems.to_string().contains("depends on itself: 4 -> 5 -> 4"), "{problems}");
}

#[test]
fn a_cycle_made_at_run_time_is_told_of_the_node_that_made_it() {
    for_all_policies(|bench, _| {
        let failure = bench.failure(&json!({
            "1": picture("BLACK"), "2": picture("WHITE"),
            "3": node("TestDynamicDependencyCycle", json!({"input1": ["1", 0], "input2": ["2", 0]})),
            "4": save("3")
        }));
        assert_eq!(failure.node.as_str(), "3");
        assert!(failure.to_string().contains("3.0.0.2 -> 3.0.0.3 -> 3.0.0.2"), "{failure}");
    });
}

#[test]
fn a_missing_node_leaves_other_outputs_alone() {
    let mut bench = Bench::new("classic");
    let graph = json!({
        "1": picture("BLACK"), "3": picture("WHITE"), "4": mask(0.5),
        "5": mix("1", "removed", "4"), "6": mix("1", "3", "4"), "7": save("5"), "8": save("6")
    });
    let folders = bench.engine.folders.clone();
    let checked = check(&read(&graph), &bench.registry, &folders, &Targets::Outputs);
    let plan = Plan::of(checked.partial().unwrap(), &bench.registry, &folders, "");
    assert_eq!(checked.dropped().map(NodeId::as_str).collect::<Vec<_>>(), ["7"]);
    let mut seen = Seen::default();
    assert_eq!(bench.engine.run(&plan, &Metadata::default(), &mut seen, &Cancel::default()), Outcome::Done);
    assert_eq!(seen.saved("8").len(), 1);
}

#[test]
fn custom_is_changed() {
    for_all_policies(|bench, reuses| {
        let graph = |changes: bool| {
            json!({
                "3": save("2"),
                "2": node("TestCustomIsChanged", json!({"image": ["1", 0], "should_change": changes})),
                "1": picture("BLACK")
            })
        };
        assert!(bench.run(&graph(false)).ran("2"));
        assert_eq!(bench.run(&graph(false)).ran("2"), !reuses);
        assert!(bench.run(&graph(true)).ran("2"));
        assert!(bench.run(&graph(true)).ran("2"));
    });
}

#[test]
fn is_changed_knows_constants_only() {
    for_all_policies(|bench, reuses| {
        let graph = json!({
            "1": node("StubConstantImage", json!({"value": 0.5, "height": 32, "width": 32, "batch_size": 1})),
            "2": node("TestIsChangedWithConstants", json!({"image": ["1", 0], "value": 0.5})),
            "3": preview("2")
        });
        assert_eq!(bench.run(&graph).saved("3"), [(63, 63)]);
        let again = bench.run(&graph);
        assert_eq!((again.saved("3"), again.ran("2")), (vec![(63, 63)], !reuses));
    });
}

#[test]
fn undeclared_inputs() {
    for_all_policies(|bench, _| {
        let inputs = json!({"input1": ["1", 0], "input2": ["2", 0], "input3": ["3", 0], "input4": ["4", 0]});
        let graph = json!({
            "1": picture("BLACK"), "2": picture("WHITE"), "3": picture("BLACK"), "4": picture("BLACK"),
            "5": node("TestVariadicAverage", inputs), "6": save("5")
        });
        assert_eq!(bench.run(&graph).saved("6"), [(63, 63)]);
    });
}

fn for_loop(rounds: i64) -> Json {
    json!({
        "1": picture("BLACK"), "2": picture("WHITE"),
        "3": node("TestCustomIsChanged", json!({"should_change": true, "image": ["2", 0]})),
        "4": node("TestForLoopOpen", json!({"remaining": rounds, "initial_value1": ["3", 0]})),
        "5": node("TestVariadicAverage", json!({"input1": ["1", 0], "input2": ["4", 2]})),
        "6": node("TestForLoopClose", json!({"flow_control": ["4", 0], "initial_value1": ["5", 0]})),
        "7": save("6")
    })
}

#[test]
fn for_loops() {
    for_all_policies(|bench, _| {
        for rounds in 1..5 {
            let seen = bench.run(&for_loop(rounds));
            let grey = 255 / (1 << rounds) as u8;
            assert_eq!(seen.saved("7"), [(grey, grey)]);
            assert!(seen.ran("3"));
        }
    });
}

#[test]
fn mixed_expansion_returns() {
    for_all_policies(|bench, _| {
        let graph = json!({
            "1": node("TestMakeListNode", json!({"value1": 0.1, "value2": 0.2, "value3": 0.3})),
            "2": node("TestMixedExpansionReturns", json!({"input1": ["1", 0]})),
            "3": save("2"),
            "4": node("SaveImage", json!({"images": ["2", 1], "filename_prefix": "white"}))
        });
        let seen = bench.run(&graph);
        assert_eq!(seen.saved("3"), [(25, 25), (51, 51), (76, 76)]);
        assert_eq!(seen.saved("4"), [(255, 255); 3]);
    });
}

#[test]
fn mixed_lazy_results() {
    for_all_policies(|bench, _| {
        let graph = json!({
            "1": node("TestMakeListNode", json!({"value1": 0.0, "value2": 0.5, "value3": 1.0})),
            "2": mask(json!(["1", 0])), "3": picture("BLACK"), "4": picture("WHITE"), "5": mix("3", "4", "2"),
            "6": node("RebatchImages", json!({"images": ["5", 0], "batch_size": 3})),
            "7": save("6")
        });
        assert_eq!(bench.run(&graph).saved("7"), [(0, 0), (127, 127), (255, 255)]);
    });
}

#[test]
fn one_source_for_two_outputs() {
    for_all_policies(|bench, _| {
        let seen = bench.run(&json!({"1": picture("BLACK"), "2": save("1"), "3": save("1")}));
        assert_eq!((seen.saved("2").len(), seen.saved("3").len()), (1, 1));
    });
}

#[test]
fn nodes_that_wait_wait_side_by_side() {
    for_all_policies(|bench, _| {
        let meet = |n: u32| node("TestMeet", json!({"value": ["1", 0], "count": 3, "node_id": n}));
        let graph = json!({
            "1": picture("BLACK"), "2": meet(2), "3": meet(3), "4": meet(4),
            "5": preview("2"), "6": preview("3"), "7": preview("4")
        });
        let seen = bench.run(&graph);
        let begun_before = |id: &str, before: &str| {
            let at = |wanted: &dyn Fn(&Event) -> bool| seen.events.iter().position(wanted).unwrap();
            let begun = at(&|event| matches!(event, Event::Executing { node, .. } if node.as_str() == id));
            let done = at(&|event| matches!(event, Event::Finished { node, .. } if node.as_str() == before));
            begun < done
        };
        // None is done before all have begun.
        for id in ["2", "3", "4"] {
            assert!(["2", "3", "4"].iter().all(|other| begun_before(id, other)));
        }
    });
}

#[test]
fn nodes_made_at_run_time_sleep_side_by_side_too() {
    let mut bench = Bench::new("classic");
    let inputs = json!({
        "image1": ["1", 0], "image2": ["2", 0], "image3": ["3", 0], "sleep1": 0.18, "sleep2": 0.19, "sleep3": 0.2
    });
    let graph = json!({"1": picture("BLACK"), "2": picture("WHITE"), "3": picture("WHITE"), "4": node("TestParallelSleep", inputs), "5": save("4")});
    let seen = bench.run(&graph);
    assert_eq!(seen.saved("5"), [(170, 170)]);
    let inputs = json!({"image1": ["1", 0], "image2": ["2", 0], "num_async_nodes": 4, "sleep_duration": 0.1});
    let graph = json!({
        "1": picture("BLACK"), "2": picture("WHITE"), "3": node("TestDynamicAsyncGeneration", inputs), "4": save("3")
    });
    assert_eq!(bench.run(&graph).saved("4"), [(127, 127)]);
}

#[test]
fn a_blocker_in_a_list_blocks_one_value() {
    for_all_policies(|bench, _| {
        let list = |values: [&str; 3]| {
            node(
                "TestMakeListNode",
                json!({"value1": [values[0], 0], "value2": [values[1], 0], "value3": [values[2], 0]}),
            )
        };
        let graph = json!({
            "1": picture("BLACK"), "2": picture("WHITE"), "3": picture("BLACK"), "4": list(["1", "2", "3"]),
            "5": node("StubInt", json!({"value": 1})), "6": node("StubInt", json!({"value": 2})), "7": list(["5", "6", "5"]),
            "8": node("TestIntConditions", json!({"a": ["7", 0], "b": 2, "operation": "=="})),
            "9": node("TestExecutionBlocker", json!({"input": ["4", 0], "block": ["8", 0], "verbose": false})),
            "10": node("TestMakeListNode", json!({"value1": ["9", 0]})),
            "11": preview("10")
        });
        let seen = bench.run(&graph);
        assert!(seen.ran("11"));
        assert_eq!(seen.saved("11"), [(0, 0), (0, 0)]);
    });
}

fn only(ids: &[&str]) -> Targets {
    Targets::Only(ids.iter().map(|id| NodeId::from(*id)).collect())
}

#[test]
fn partial_execution() {
    for_all_policies(|bench, _| {
        let graph = json!({
            "1": picture("BLACK"), "2": picture("WHITE"), "3": picture("NOISE"),
            "4": save("1"), "5": save("2"), "6": save("3")
        });
        let seen = bench.run_only(&graph, &only(&["4", "6"]));
        assert!(["1", "3", "4", "6"].iter().all(|id| seen.ran_or_was_cached(id)));
        assert!(!seen.ran("2") && !seen.ran("5"));
        assert_eq!((seen.saved("4").len(), seen.saved("5").len()), (1, 0));
        assert!(bench.plan(&graph, &only(&[])).is_err());
    });
}

#[test]
fn partial_execution_runs_outputs_that_it_needs() {
    for_all_policies(|bench, _| {
        let scaled = |from: &str| node("TestOutputNodeWithSocketOutput", json!({"image": [from, 0], "value": 2.0}));
        let graph = json!({
            "1": picture("BLACK"), "2": picture("WHITE"), "3": scaled("1"), "4": scaled("3"),
            "5": save("3"), "6": save("4"), "7": save("2"), "8": mask(0.0), "9": mix("4", "2", "8"), "10": save("9")
        });
        let seen = bench.run_only(&graph, &only(&["6", "10"]));
        assert!(["1", "3", "4", "6", "9", "10"].iter().all(|id| seen.ran_or_was_cached(id)));
        assert!(!seen.ran("2") && !seen.ran("5") && !seen.ran("7"));
    });
}

#[test]
fn nodes_that_wait_may_fail_and_the_next_run_is_none_the_worse() {
    for_all_policies(|bench, _| {
        let graph =
            |class: &str, inputs: Json| json!({"1": picture("BLACK"), "2": node(class, inputs), "3": save("2")});
        let failure = bench.failure(&graph("TestAsyncError", json!({"value": ["1", 0], "error_after": 0.05})));
        assert_eq!(failure.node.as_str(), "2");
        let timeout = json!({"value": ["1", 0], "timeout": 0.1, "operation_time": 2.0});
        assert!(bench.failure(&graph("TestAsyncTimeout", timeout)).message.contains("timeout"));
        bench.run(&graph("TestSleep", json!({"value": ["1", 0], "seconds": 0.02})));
        // A node that fails at once ends the run although another still waits.
        let mut both = graph("TestSleep", json!({"value": ["1", 0], "seconds": 30.0}));
        both["4"] = node("TestSyncError", json!({"value": ["1", 0]}));
        both["5"] = preview("4");
        assert_eq!(bench.failure(&both).node.as_str(), "4");
    });
}

#[test]
fn resources_of_nodes_that_wait_are_freed() {
    for_all_policies(|bench, reuses| {
        let mut graph = Map::from_iter([("1".to_owned(), picture("BLACK"))]);
        for i in 2..7 {
            let inputs = json!({"value": ["1", 0], "resource_id": format!("resource_{i}"), "duration": 0.02});
            graph.insert(i.to_string(), node("TestAsyncResourceUser", inputs));
            graph.insert(format!("{i}0"), preview(&i.to_string()));
        }
        let graph = Json::Object(graph);
        assert!((2..7).all(|i| bench.run(&graph).ran(&i.to_string()) || reuses));
        assert!((2..7).all(|i| bench.run(&graph).ran(&i.to_string()) != reuses));
    });
}

#[test]
fn nodes_that_wait_among_others() {
    let mut bench = Bench::new("classic");
    let graph = json!({
        "1": picture("BLACK"), "2": picture("WHITE"), "3": mask(0.5), "4": mix("1", "2", "3"),
        "5": node("TestSleep", json!({"value": ["4", 0], "seconds": 0.05})),
        "6": node("TestCustomValidation1", json!({"input1": ["5", 0], "input2": 0.5})),
        "7": node("TestAsyncProgressUpdate", json!({"value": ["6", 0], "sleep_seconds": 0.05})),
        "8": node("TestSyncProgressUpdate", json!({"value": ["7", 0], "sleep_seconds": 0.02})),
        "9": node("TestAsyncConcurrentLimit", json!({"value": ["8", 0], "duration": 0.1, "node_id": 1})),
        "10": node("TestAsyncBatchProcessing", json!({"images": ["9", 0], "process_time_per_item": 0.01})),
        "11": node("TestAsyncLazyCheck", json!({"input1": ["10", 0], "input2": ["2", 0], "condition": true})),
        "12": save("10"), "13": save("11")
    });
    let seen = bench.run(&graph);
    assert_eq!(seen.saved("12"), [(191, 191)]);
    assert_eq!(seen.pictures["10"], [(0.75, 0.75)]);
    assert!(seen.events.iter().any(|e| matches!(e, Event::Progress { node, .. } if node.as_str() == "7")));
}

#[test]
fn sampling_in_nodes_made_at_run_time_is_sampling() {
    let mut bench = Bench::new("classic");
    let checkpoint = bench.folder.path().join("models/checkpoints/tiny.safetensors");
    write_random_checkpoint(&checkpoint, Layout::Sd1, Size::Tiny, 1, false).unwrap();
    let loader = node("CheckpointLoaderSimple", json!({"ckpt_name": "tiny.safetensors"}));
    let expanding = json!({
        "1": loader,
        "2": node("TestSamplingInExpansion", json!({
            "model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2], "seed": 5, "steps": 1, "cfg": 2.0,
            "prompt": "a house", "negative_prompt": "rain"
        })),
        "3": save("2")
    });
    let text = |text: &str| node("CLIPTextEncode", json!({"text": text, "clip": ["1", 1]}));
    let plain = json!({
        "1": loader, "4": text("a house"), "5": text("rain"),
        "6": node("EmptyLatentImage", json!({"width": 512, "height": 512, "batch_size": 1})),
        "7": node("KSampler", json!({
            "model": ["1", 0], "positive": ["4", 0], "negative": ["5", 0], "latent_image": ["6", 0], "seed": 5, "steps": 1,
            "cfg": 2.0, "sampler_name": "euler_ancestral", "scheduler": "normal", "denoise": 1.0
        })),
        "8": node("VAEDecode", json!({"samples": ["7", 0], "vae": ["1", 2]})),
        "9": save("8")
    });
    let (expanded, direct) = (bench.run(&expanding), bench.run(&plain));
    assert_eq!(expanded.pictures["2"], direct.pictures["8"]);
    assert!(direct.pictures["8"][0].0 < direct.pictures["8"][0].1);
}

/// A message in the short form of the recording.
fn short(message: &Json) -> String {
    let data = &message["data"];
    let text = |value: &Json| value.as_str().unwrap_or("-").to_owned();
    let join = |list: &Json| list.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let number = |value: &Json| format!("{}", value.as_f64().unwrap());
    match message["type"].as_str().unwrap() {
        "executing" => format!("executing {} {}", text(&data["node"]), text(&data["display_node"])),
        "executed" => {
            let shown = data["output"].as_object();
            let shown = shown.map_or("null".to_owned(), |map| map.keys().cloned().collect::<Vec<_>>().join(" "));
            format!("executed {} {} {shown}", text(&data["node"]), text(&data["display_node"]))
        }
        "execution_cached" => format!("cached {}", join(&data["nodes"]).join(" ")),
        "progress_state" => {
            let nodes = data["nodes"].as_object().unwrap();
            let (done, running): (Vec<_>, Vec<_>) = nodes.iter().partition(|(_, state)| state["state"] == "finished");
            let running = running.iter().map(|(id, state)| {
                let (value, max) = (number(&state["value"]), number(&state["max"]));
                let ids = ["display_node_id", "parent_node_id", "real_node_id"].map(|name| text(&state[name]));
                format!("{id}:r:{value}/{max}:{} ", ids.join(":"))
            });
            format!("state {}finished {}", running.collect::<String>(), done.len())
        }
        "progress" => format!("progress {} {}/{}", text(&data["node"]), number(&data["value"]), number(&data["max"])),
        "execution_error" => {
            let mut executed = join(&data["executed"]);
            executed.sort();
            format!(
                "error {} {} {} {} executed {}",
                text(&data["node_id"]),
                text(&data["node_type"]),
                text(&data["exception_type"]),
                constant::repr(&data["exception_message"]),
                executed.join(" ")
            )
        }
        other => other.to_owned(),
    }
}

#[test]
fn the_messages_of_a_run_are_comfyui_s() {
    let recorded: Json = serde_json::from_str(include_str!("data/execution-messages.json")).unwrap();
    let mut wrong = Vec::new();
    for case in recorded.as_array().unwrap() {
        for group in case["recorded"].as_array().unwrap() {
            for policy in group["policies"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
                let mut bench = Bench::new(policy);
                for (i, prompt) in case["prompts"].as_array().unwrap().iter().enumerate() {
                    let targets = match prompt["targets"].as_array() {
                        Some(ids) => only(&ids.iter().map(|id| id.as_str().unwrap()).collect::<Vec<_>>()),
                        None => Targets::Outputs,
                    };
                    let (_, seen) = bench.try_run(&prompt["prompt"], &targets);
                    let ids = prompt["prompt"].as_object().unwrap().keys().map(|id| NodeId::from(id.as_str()));
                    let mut frames = Frames::new("P", ids);
                    let sent = seen.events.iter().flat_map(|event| frames.of(event, 0));
                    let sent: Vec<_> = sent.map(|message| short(&message)).collect();
                    let expected: Vec<_> =
                        group["runs"][i].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
                    if sent != expected {
                        let at = sent.iter().zip(&expected).take_while(|(a, b)| a == b).count();
                        wrong.push(format!(
                            "{}, {policy}, run {i}, message {at}: expected {:?}, sent {:?}",
                            case["name"],
                            expected.get(at..(at + 3).min(expected.len())),
                            sent.get(at..(at + 3).min(sent.len()))
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
