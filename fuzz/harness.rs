//! What is asked of any bytes: no panic, and what was read can be written and read again. The fuzz targets call these
//! functions, and so does a test that mutates the seeds for some seconds (`engine/tests/fuzz.rs`).
#![allow(dead_code, clippy::unwrap_used)]

use redraft_engine::cx::Cx;
use redraft_engine::draw::{Format, draw};
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Registry, Run};
use redraft_engine::object_info::ObjectInfo;
use redraft_engine::plan::Plan;
use redraft_engine::prompt::{Given, Targets};
use redraft_engine::schema::Schemas;
use redraft_engine::settable::{self, Addresses};
use redraft_engine::workflow::{Context, Form, LocalTime, Override, ReadError, Workflow, advance, read, read_with};
use redraft_engine::{Combo, Node};
use serde_json::json;

#[derive(Combo, Debug, PartialEq)]
enum Operation {
    Add,
    TakeAway,
}

#[derive(Node)]
#[node(category = "fuzz")]
struct FuzzNumber {
    #[input(default = 7, min = 0, max = u64::MAX, step = 8)]
    seed: u64,
    #[input(default = 1.0, min = -2.0, max = 2.0)]
    strength: f64,
    operation: Operation,
    on: bool,
}

impl Run for FuzzNumber {
    type Out = i64;
    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        anyhow::bail!("is never called")
    }
}

#[derive(Node)]
#[node(category = "fuzz", output)]
struct FuzzEnd {
    #[input(force_input)]
    value: i64,
    #[input(force_input)]
    other: Option<i64>,
    #[input(files = "checkpoints")]
    file: String,
    #[input(default = "x", multiline, dynamic_prompts)]
    text: String,
}

impl Run for FuzzEnd {
    type Out = ();
    fn run(self, _: &mut Cx) -> anyhow::Result<()> {
        anyhow::bail!("is never called")
    }
}

struct Bench {
    registry: Registry,
    folders: FolderPaths,
    schemas: ObjectInfo,
}

fn bench() -> Bench {
    let schemas = ObjectInfo::from_json(&json!({
        "Load": {"input": {}, "output": ["IMAGE", "MASK"], "display_name": "Load It"},
        "Empty": {"input": {"required": {"width": ["INT", {"default": 512, "step": 8}], "height": ["INT", {}]}}, "output": ["IMAGE"]},
        "Filter": {"input": {"required": {"image": ["IMAGE"], "strength": ["FLOAT", {"default": 1.0}]}}, "output": ["IMAGE"]},
        "Sample": {"input": {"required": {"seed": ["INT", {}], "steps": ["INT", {"default": 20}]}}, "output": ["LATENT"]},
        "Text": {"input": {"required": {"text": ["STRING", {"dynamicPrompts": true}]}}, "output": ["STRING"]},
        "Old": {"input": {"required": {"a": ["INT", {}], "in": ["STRING", {"forceInput": true}], "b": ["INT", {}]}}, "output": []},
        "Grow": {"input": {"required": {"images": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 2, "max": 50}}],
            "mode": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "k", "inputs": {"required": {"w": ["INT", {}]}}}, {"key": "l", "inputs": {}}]}]}}, "output": ["*"]},
        "LoadImage": {"input": {"required": {"image": [["a.png"], {"image_upload": true}]}}, "output": ["IMAGE"]},
        "SaveImage": {"input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "C"}]}}, "output": [], "output_node": true},
    }));
    Bench { registry: Registry::linked().unwrap(), folders: FolderPaths::below("nowhere".as_ref()), schemas }
}

thread_local! {
    static BENCH: Bench = bench();
}

fn try_read(bytes: &[u8], schemas: &dyn Schemas) -> Result<Workflow, ReadError> {
    read(bytes, &Context { schemas, folders: &(), seed: 7, now: LocalTime::default() })
}

/// The prompt written and read again is the same prompt; it can be drawn, and each of its addresses is found.
fn check(workflow: &Workflow, schemas: &dyn Schemas) {
    let text = workflow.prompt.to_json().to_string();
    if let Ok(again) = try_read(text.as_bytes(), schemas) {
        assert!(again.prompt == workflow.prompt, "{text}");
    } else {
        // Only a prompt of nothing, or one that nests too deep by its own wrapping, is no longer one.
        assert!(workflow.prompt.nodes.is_empty() || text.len() > 200, "{text}");
    }
    assert!(draw(&workflow.prompt, schemas, Format::Dot).starts_with("digraph {"));
    assert!(draw(&workflow.prompt, schemas, Format::Mermaid).starts_with("flowchart LR\n"));
    let schema = settable::schema(&workflow.prompt, schemas, &());
    let addresses = Addresses::new(&workflow.prompt, schemas);
    for (address, property) in schema["properties"].as_object().unwrap() {
        assert!(addresses.find(address).is_ok(), "{address}: {property}");
    }
}

/// Inputs that are set have the value that they are given, whatever the file's form, and nothing else does.
fn set(bytes: &[u8], workflow: &Workflow, schemas: &dyn Schemas) {
    let context = Context { schemas, folders: &(), seed: 7, now: LocalTime::default() };
    let schema = settable::schema(&workflow.prompt, schemas, &());
    let addresses = Addresses::new(&workflow.prompt, schemas);
    let found = schema["properties"].as_object().unwrap().keys().filter_map(|address| addresses.find(address).ok());
    let found: Vec<_> = found.step_by(3).take(3).collect();
    let overrides = found.into_iter().map(|(node, input)| Override { node: node.clone(), input, value: json!(7.5) });
    let overrides: Vec<_> = overrides.collect();
    let Ok(changed) = read_with(bytes, &context, &overrides) else { return };
    for wanted in &overrides {
        assert!(changed.prompt.nodes[&wanted.node].inputs[&wanted.input] == Given::Constant(json!(7.5)), "{wanted:?}");
    }
    assert!(changed.prompt.nodes.keys().eq(workflow.prompt.nodes.keys()));
}

/// The editor's form.
pub(crate) fn ui(bytes: &[u8]) {
    BENCH.with(|bench| {
        let Ok(workflow) = try_read(bytes, &bench.schemas) else { return };
        check(&workflow, &bench.schemas);
        set(bytes, &workflow, &bench.schemas);
        if let (Form::Ui, Some(file)) = (workflow.form, &workflow.workflow_json) {
            let context = Context { schemas: &bench.schemas, folders: &(), seed: 7, now: LocalTime::default() };
            advance(file, &context).unwrap();
        }
    });
}

/// The API form, up to the plan.
pub(crate) fn api(bytes: &[u8]) {
    BENCH.with(|bench| {
        let Ok(workflow) = try_read(bytes, &bench.registry) else { return };
        check(&workflow, &bench.registry);
        set(bytes, &workflow, &bench.registry);
        for targets in [Targets::Outputs, Targets::All] {
            match Plan::new(workflow.prompt.clone(), &bench.registry, &bench.folders, &targets, "") {
                Ok(plan) => assert!(plan.order().count() <= workflow.prompt.nodes.len()),
                Err(problems) => assert!(!problems.to_string().is_empty()),
            }
        }
    });
}

/// Pictures, videos, sounds and models.
pub(crate) fn picture_metadata(bytes: &[u8]) {
    BENCH.with(|bench| {
        if let Ok(workflow) = try_read(bytes, &bench.schemas) {
            check(&workflow, &bench.schemas);
            set(bytes, &workflow, &bench.schemas);
        }
    });
}
