//! What we answer to wrong prompts against what ComfyUI 0.8.0 answers (`scripts/record-validation.py`): types, messages,
//! details and `extra_info`, letter by letter.
#![allow(clippy::unwrap_used)]

use redraft_engine::check::check;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::problem::{ProblemKind, Problems};
use redraft_engine::prompt::Targets;
use redraft_engine::stock::Stock;
use redraft_engine::workflow::{Context, LocalTime, read_value};
use serde_json::{Value, json};

/// Where we say more, or it otherwise, on purpose.
const OTHERWISE: [(&str, &str); 1] =
    [("sockets", "ComfyUI does not look behind a link of the wrong type; we find everything at once")];

/// Our answer as if we could run all of ComfyUI's nodes.
fn answer(prompt: &Value, folders: &FolderPaths) -> Value {
    let context = Context { schemas: &Stock, folders: &(), seed: 0, now: LocalTime::default() };
    let prompt = read_value(&json!({ "prompt": prompt }), &context).unwrap().prompt;
    let checked = check(&prompt, &Registry::of([]).unwrap(), folders, &Targets::Outputs);
    let found = checked.problems.0.into_iter().filter(|problem| problem.kind != ProblemKind::NotRunnable);
    let problems = Problems(found.collect());
    if problems.0.is_empty() { Value::Null } else { problems.to_response() }
}

/// ComfyUI's order of nodes and of the errors of a node is arbitrary.
fn sorted(mut response: Value) -> Value {
    if let Some(nodes) = response["node_errors"].as_object_mut() {
        nodes.sort_keys();
        for node in nodes.values_mut() {
            node["errors"].as_array_mut().unwrap().sort_by_key(|error| error["extra_info"]["input_name"].to_string());
            for error in node["errors"].as_array_mut().unwrap() {
                error["extra_info"].as_object_mut().unwrap().sort_keys();
            }
        }
    }
    response
}

#[test]
fn wrong_prompts_are_answered_as_comfyui_answers_them() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("validation.json")).unwrap();
    assert!(cases.len() > 20);
    let dir = tempfile::tempdir().unwrap();
    let folders = FolderPaths::below(dir.path());
    let mut failures = Vec::new();
    for case in &cases {
        let (ours, theirs) = (sorted(answer(&case["prompt"], &folders)), sorted(case["response"].clone()));
        let reason = OTHERWISE.iter().find(|(name, _)| case["name"] == *name);
        if (ours == theirs) == reason.is_some() {
            failures.push(format!("{}:\n  ours   {ours}\n  theirs {theirs}", case["name"]));
        }
    }
    assert!(failures.is_empty(), "{} of {} differ\n{}", failures.len(), cases.len(), failures.join("\n"));
}
