//! Files with nodes of packs: each is read by what its pack declares, and said to be of it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use redraft_engine::check::check;
use redraft_engine::folders::FolderPaths;
use redraft_engine::foreign::Foreign;
use redraft_engine::node::Registry;
use redraft_engine::problem::ProblemKind;
use redraft_engine::prompt::{Given, Targets};
use redraft_engine::stock::Known;
use redraft_engine::workflow::{Context, LocalTime, Workflow, read, read_value};
use serde_json::{Value, json};

fn known() -> Registry {
    Registry::linked().unwrap()
}

fn context<'a>(known: &'a Known<'a>) -> Context<'a> {
    Context { schemas: known, folders: &(), seed: 0, now: LocalTime::default() }
}

fn file(class: &str, values: Value) -> Value {
    let node = json!({ "id": 1, "type": class, "mode": 0, "inputs": [], "outputs": [], "widgets_values": values });
    json!({ "version": 0.4, "nodes": [node], "links": [] })
}

#[test]
fn values_have_the_names_that_the_pack_gives_them() {
    let registry = known();
    let known = Known(&registry);
    let given = |class: &str, values: Value| {
        let workflow = read_value(&file(class, values), &context(&known)).unwrap();
        assert!(workflow.remarks.is_empty(), "{:?}", workflow.remarks);
        workflow.prompt.to_json()["1"]["inputs"].clone()
    };
    assert_eq!(
        given("SAMLoader", json!(["sam_vit_b.pth", "CPU"])),
        json!({ "model_name": "sam_vit_b.pth", "device_mode": "CPU" })
    );
    // A seed has its control, a colour is a widget of the pack's own.
    assert_eq!(given("CR Seed", json!([7, "fixed"])), json!({ "seed": 7 }));
    let removed = given("BiRefNetRMBG", json!(["BiRefNet-general", 1, 0, 0, false, false, "Color", "#00ff00"]));
    assert_eq!((&removed["background"], &removed["background_color"]), (&json!("Color"), &json!("#00ff00")));
}

#[test]
fn a_node_of_a_pack_is_told_in_one_line() {
    let registry = known();
    let prompt = json!({
        "1": { "class_type": "UltralyticsDetectorProvider", "inputs": { "model_name": "bbox/face_yolov8m.pt" } },
        // What other versions of a pack have is no error: it cannot run in any.
        "2": { "class_type": "BboxDetectorSEGS", "inputs": { "bbox_detector": ["1", 7], "threshold": "high", "later": ["1", 0] } },
        "3": { "class_type": "BboxDetectorSEGS", "inputs": { "bbox_detector": ["9", 0] } },
    });
    let workflow = read_value(&prompt, &context(&Known(&registry))).unwrap();
    let checked = check(&workflow.prompt, &registry, &FolderPaths::below(Path::new("nowhere")), &Targets::Outputs);
    let told: Vec<_> = checked.problems.0.iter().map(|problem| (problem.kind, problem.to_string())).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[0].0, ProblemKind::NotRunnable);
    assert_eq!(
        told[0].1,
        "node 1 (UltralyticsDetectorProvider): UltralyticsDetectorProvider is a node of the pack ComfyUI-Impact-Subpack \
         (https://github.com/ltdrdata/ComfyUI-Impact-Subpack, AGPL-3.0), which needs that pack and a model: redraft cannot run it; \
         `redraft nodes` lists those that it can; remove or replace this one"
    );
    assert!(told.iter().any(|(kind, _)| *kind == ProblemKind::DanglingLink), "{told:?}");
}

/// Every value of the documentation's files has a name, and of others those whose pack is known.
#[test]
#[cfg_attr(not(shared), ignore = "the files are not here")]
fn files_with_nodes_of_packs_convert() {
    let registry = known();
    let known = Known(&registry);
    let unnamed = |workflow: &Workflow| {
        let nodes = workflow.prompt.nodes.values().filter(|node| node.inputs.contains_key("UNKNOWN"));
        nodes.map(|node| node.class_type.clone()).collect::<Vec<_>>()
    };
    let mut seen = 0;
    for folder in ["conversions/documentation", "conversions-0.33/new"] {
        for entry in fs::read_dir(Path::new(env!("REDRAFT_SHARED_AT")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if !path.to_string_lossy().ends_with(".workflow.json") {
                continue;
            }
            let workflow = read(&fs::read(&path).unwrap(), &context(&known)).unwrap();
            let foreign = workflow.prompt.nodes.values().filter(|node| known.foreign(&node.class_type).is_some());
            let linked = |given: &Given| matches!(given, Given::Link { .. });
            seen += foreign.filter(|node| !node.inputs.values().all(linked)).count();
            for class in unnamed(&workflow) {
                assert!(Foreign::of(&class).is_none(), "{class} in {}", path.display());
                assert!(
                    !folder.ends_with("documentation") || NOT_HAD.contains(&class.as_str()),
                    "{class} in {}",
                    path.display()
                );
            }
        }
    }
    assert!(seen > 300, "only {seen} nodes with values");
}

/// Classes of the documentation that the versions of their packs that we have lack: one is gone, one runs here and came later.
const NOT_HAD: [&str; 2] = ["GetVideoDriveParams", "ImpactSelectNthItemOfAnyList"];
