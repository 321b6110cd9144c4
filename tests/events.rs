//! Fault 16: real streams of `run --json` held against the schema in docs/json-events.md.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::common::graph::Graph;
use crate::common::{Base, Done};

fn schema() -> Json {
    let text = include_str!("../docs/json-events.md");
    let schema = text.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    serde_json::from_str(schema).unwrap()
}

/// What a value breaks of a schema, in words; the keywords are those that the schema uses, and any other is an error.
fn wrong(value: &Json, schema: &Json, root: &Json) -> Option<String> {
    for (keyword, wanted) in schema.as_object().unwrap() {
        let broken = match keyword.as_str() {
            "$schema" | "$defs" => None,
            "$ref" => wrong(value, root.pointer(wanted.as_str().unwrap().trim_start_matches('#')).unwrap(), root),
            "type" => {
                let names = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                let is = |name: &str| match name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    other => panic!("no type {other}"),
                };
                (!names.iter().any(|name| is(name.as_str().unwrap()))).then(|| format!("is no {wanted}"))
            }
            "const" => (value != wanted).then(|| format!("is not {wanted}")),
            "enum" => (!wanted.as_array().unwrap().contains(value)).then(|| format!("is none of {wanted}")),
            "minimum" => (value.as_f64() < wanted.as_f64()).then(|| format!("is below {wanted}")),
            "required" => {
                let lacks = wanted.as_array().unwrap().iter().find(|name| value.get(name.as_str().unwrap()).is_none());
                lacks.map(|name| format!("lacks {name}"))
            }
            "properties" => wanted
                .as_object()
                .unwrap()
                .iter()
                .find_map(|(name, inner)| wrong(value.get(name)?, inner, root).map(|why| format!("{name}: {why}"))),
            "additionalProperties" => {
                let declared = schema["properties"].as_object();
                let mut others = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| declared.is_none_or(|declared| !declared.contains_key(*name)));
                match wanted {
                    Json::Bool(false) => others.next().map(|(name, _)| format!("has {name}")),
                    inner => {
                        others.find_map(|(name, value)| wrong(value, inner, root).map(|why| format!("{name}: {why}")))
                    }
                }
            }
            "items" => value.as_array().into_iter().flatten().find_map(|item| wrong(item, wanted, root)),
            "oneOf" => {
                let fits =
                    wanted.as_array().unwrap().iter().filter(|inner| wrong(value, inner, root).is_none()).count();
                (fits != 1).then(|| {
                    let same = |inner: &&Json| inner["properties"]["type"]["const"] == value["type"];
                    let nearest = wanted.as_array().unwrap().iter().find(same);
                    format!("fits {fits}: {:?}", nearest.and_then(|inner| wrong(value, inner, root)))
                })
            }
            other => panic!("the schema uses {other}, which this test does not know"),
        };
        if broken.is_some() {
            return broken;
        }
    }
    None
}

/// Holds every line of a stream against the schema, and returns the types that occur.
#[track_caller]
fn held(done: &Done) -> BTreeSet<String> {
    let schema = schema();
    let mut types = BTreeSet::new();
    for event in done.events() {
        assert_eq!(wrong(&event, &schema, &schema), None, "{event}");
        types.insert(event["type"].as_str().unwrap().to_owned());
    }
    types
}

/// Type and file of what belongs to files.
fn of_files(done: &Done) -> Vec<(String, String)> {
    let own = done.events().into_iter().filter(|event| event["type"].as_str().unwrap().starts_with("workflow_"));
    own.map(|event| {
        let file = Path::new(event["data"]["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
        (event["type"].as_str().unwrap().to_owned(), file)
    })
    .collect()
}

#[test]
fn fault_16_a_whole_run_is_as_the_schema_says() {
    let base = Base::new();
    let mut graph = Graph::saved(2);
    graph.node("20", "PreviewAny", json!({ "source": "a text" }));
    graph.node("23", "RepeatImageBatch", json!({ "image": ["8", 0], "amount": 2 }));
    graph.node("21", "SaveLatent", json!({ "samples": ["16", 0], "filename_prefix": "latent" }));
    graph.node(
        "22",
        "SaveAnimatedPNG",
        json!({ "images": ["23", 0], "filename_prefix": "moves", "fps": 6.0, "compress_level": 4 }),
    );
    let file = base.write_json("a.json", &graph.json());
    let previews = base.path("previews");
    let done =
        base.command("run", &[&file, &file]).args(["--device", "cpu", "--json", "--preview-directory"]).arg(&previews);
    let done = done.finish().expect_code(0);
    let types = held(&done);
    for wanted in [
        "workflow_start",
        "workflow_end",
        "execution_start",
        "execution_cached",
        "executing",
        "progress",
        "preview",
        "executed",
        "finished",
        "execution_success",
    ] {
        assert!(types.contains(wanted), "{wanted} is not among {types:?}");
    }
    let ends = done.events_of("workflow_end");
    assert_eq!(ends.len(), 2);
    assert_eq!(
        (&ends[1]["number"], &ends[1]["of"], &ends[1]["exit"], &ends[1]["error"]),
        (&json!(2), &json!(2), &json!(0), &Json::Null)
    );
    assert!(done.events_of("executed").iter().any(|shown| shown["output"]["latents"].is_array()));
    assert!(done.events_of("executed").iter().any(|shown| shown["output"]["animated"] == json!([true])));
}

#[test]
fn fault_16_a_refused_workflow_says_what_is_wrong_with_it() {
    let base = Base::new();
    let good = base.write_json(
        "good.json",
        &json!({
            "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 1}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "g"}},
        }),
    );
    let bad =
        base.write_json("bad.json", &json!({"1": {"class_type": "SaveImage", "inputs": {"filename_prefix": "b"}}}));
    let broken = base.write("broken.json", "{");
    let done = base.command("run", &[&bad]).args(["--device", "cpu", "--json"]).finish().expect_code(2);
    held(&done);
    let end = &done.events_of("workflow_end")[0];
    assert_eq!((&end["exit"], &end["problems"][0]["kind"]), (&json!(2), &json!("RequiredInputMissing")));
    assert_eq!((&end["problems"][0]["node"], &end["problems"][0]["input"]), (&json!("1"), &json!("images")));

    let done = base.command("run", &[&broken, &bad, &good]).args(["--device", "cpu", "--json", "--keep-going"]);
    let done = done.finish().expect_code(2);
    held(&done);
    let expected = ["broken.json", "bad.json", "good.json"]
        .map(|file| ["workflow_start", "workflow_end"].map(|event| (event.to_owned(), file.to_owned())));
    assert_eq!(of_files(&done), expected.concat());
    assert_eq!(base.outputs(), ["g_00001_.png"]);
    let ends: Vec<_> = done.events_of("workflow_end").iter().map(|end| end["exit"].clone()).collect();
    assert_eq!(ends, [2, 2, 0]);
}

#[test]
fn fault_16_a_failed_node_is_as_the_schema_says() {
    let base = Base::new();
    let file = base.write_json(
        "w.json",
        &json!({
            "5": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "/etc/x"}},
            "6": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 1}},
        }),
    );
    let done = base.command("run", &[&file]).args(["--device", "cpu", "--json"]).finish().expect_code(1);
    let types = held(&done);
    assert!(types.contains("execution_error"), "{types:?}");
    assert_eq!(done.events_of("workflow_end")[0]["exit"], 1);
}
