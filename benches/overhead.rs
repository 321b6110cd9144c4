//! What the engine itself costs: a chain of 10,000 nodes (and one of 200, since ComfyUI cannot run the long one), and one
//! source for 2,000 nodes each with an output of its own. The nodes do next to nothing (`tests/pack`, and the stock node PreviewAny).
//!
//! `cargo bench -p redraft --bench overhead`; with `scripts/overhead-reference.py` ComfyUI runs the same graphs.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use redraft_engine::cx::{Cancel, Metadata, Services};
use redraft_engine::exec::{Engine, Outcome};
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::prompt::Targets;
use redraft_engine::stock::Known;
use redraft_engine::workflow::{self, Context, LocalTime};
use redraft_testing_pack as _;
use serde_json::{Map, Value as Json, json};

/// How often each is measured; the median is told.
const ROUNDS: usize = 9;

fn node(class: &str, inputs: Json) -> Json {
    json!({ "class_type": class, "inputs": inputs })
}

fn add(from: String) -> Json {
    node("TestIntMathOperation", json!({ "a": [from, 0], "b": 1, "operation": "add" }))
}

fn chain(length: usize) -> Json {
    let mut nodes = Map::from_iter([("0".to_owned(), node("StubInt", json!({ "value": 0 })))]);
    nodes.extend((1..length).map(|i| (i.to_string(), add((i - 1).to_string()))));
    nodes.insert("end".into(), node("PreviewAny", json!({ "source": [(length - 1).to_string(), 0] })));
    Json::Object(nodes)
}

fn fan(width: usize) -> Json {
    let mut nodes = Map::from_iter([("0".to_owned(), node("StubInt", json!({ "value": 0 })))]);
    for i in 1..=width {
        // Each differs, so that none is taken from another's result.
        let inputs = json!({ "a": ["0", 0], "b": i, "operation": "add" });
        nodes.insert(i.to_string(), node("TestIntMathOperation", inputs));
        nodes.insert(format!("{i}o"), node("PreviewAny", json!({ "source": [i.to_string(), 0] })));
    }
    Json::Object(nodes)
}

fn median(mut milliseconds: Vec<f64>) -> f64 {
    milliseconds.sort_by(f64::total_cmp);
    milliseconds[milliseconds.len() / 2]
}

fn main() {
    let mut out = std::io::stdout().lock();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs_err::create_dir_all(&folder).unwrap();
    let registry = Registry::linked().unwrap();
    for (name, graph) in [("chain-200", chain(200)), ("chain-10000", chain(10_000)), ("fan-2000", fan(2_000))] {
        let count = graph.as_object().unwrap().len();
        let bytes = graph.to_string();
        fs_err::write(folder.join(format!("{name}.json")), &bytes).unwrap();
        let now = LocalTime { year: 2026, month: 1, day: 1, hour: 0, minute: 0, second: 0 };
        let folders = FolderPaths::below(&folder);
        let (mut read, mut planned, mut first, mut again) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let lap = |times: &mut Vec<f64>, start: Instant| times.push(start.elapsed().as_secs_f64() * 1000.0);
            let start = Instant::now();
            let context = Context { schemas: &Known(&registry), folders: &folders, seed: 0, now };
            let prompt = workflow::read(bytes.as_bytes(), &context).unwrap().prompt;
            lap(&mut read, start);
            let start = Instant::now();
            let plan = Plan::new(prompt, &registry, &folders, &Targets::Outputs, "").unwrap();
            lap(&mut planned, start);
            let mut engine = Engine::new(FolderPaths::below(&folder), Services::default());
            for times in [&mut first, &mut again] {
                let start = Instant::now();
                let outcome = engine.run(&plan, &Metadata::default(), &mut (), &Cancel::default());
                assert_eq!(outcome, Outcome::Done);
                lap(times, start);
            }
        }
        writeln!(out, "{name} ({count} nodes), median of {ROUNDS}:").unwrap();
        for (what, times) in [("read", read), ("check and plan", planned), ("run", first), ("run again", again)] {
            let milliseconds = median(times);
            let each = milliseconds * 1000.0 / count as f64;
            writeln!(out, "  {what:15} {milliseconds:8.1} ms   {each:6.2} us a node").unwrap();
        }
    }
}
