//! Faults 3 and 4: inputs that are set come first, and the editor's form is given them, too.

use super::*;
use crate::prompt::NodeId;

const NOW: LocalTime = LocalTime { year: 2026, month: 11, day: 23, hour: 5, minute: 6, second: 7 };

fn set(file: &Value, sets: &[(&str, &str, Value)]) -> Workflow {
    let schemas = schemas();
    let context = Context { schemas: &schemas, folders: &(), seed: 0, now: NOW };
    let each = sets.iter().map(|(node, input, value)| Override {
        node: NodeId::from(*node),
        input: (*input).to_owned(),
        value: value.clone(),
    });
    let bytes = serde_json::to_vec(file).unwrap();
    read_with(&bytes, &context, &each.collect::<Vec<_>>()).unwrap()
}

fn given(workflow: &Workflow, node: &str, input: &str) -> Value {
    workflow.prompt.nodes[node].inputs[input].to_json()
}

/// The written file converts to the same prompt by itself.
#[track_caller]
fn exact(workflow: &Workflow) {
    let again = convert(workflow.workflow_json.as_ref().unwrap());
    assert_eq!(again.prompt.to_json(), workflow.prompt.to_json());
    assert!(workflow.remarks.iter().all(|remark| !remark.text.contains("cannot hold")), "{:?}", workflow.remarks);
}

fn graph() -> Value {
    file(
        vec![
            node(1, "Sample", json!([]), json!([5, "fixed", 20])),
            node(2, "Text", json!([]), json!(["a {b|b} c"])),
            node(3, "Load", json!([]), json!([])),
            node(4, "SaveImage", json!([["images", "IMAGE", 1]]), json!(["%Sample.seed%_%date:yyyy%"])),
        ],
        json!([[1, 3, 0, 4, 0, "IMAGE"]]),
    )
}

#[test]
fn fault_03_inputs_that_are_set_come_before_names_and_options() {
    let workflow = set(&graph(), &[("1", "seed", json!(77)), ("2", "text", json!("see {x|x} // gone"))]);
    assert_eq!(given(&workflow, "4", "filename_prefix"), "77_2026");
    assert_eq!(given(&workflow, "2", "text"), "see x ");
    let workflow =
        set(&graph(), &[("1", "seed", json!(8)), ("4", "filename_prefix", json!("%Sample.seed%/%date:dd%"))]);
    assert_eq!(given(&workflow, "4", "filename_prefix"), "8/23");
    exact(&workflow);
}

#[test]
fn fault_03_the_same_in_the_api_form_for_what_is_set() {
    let prompt = json!({
        "1": {"class_type": "Sample", "inputs": {"seed": 5, "steps": 1}, "_meta": {"title": "T"}},
        "2": {"class_type": "Text", "inputs": {"text": "{a|a}"}},
        "4": {"class_type": "SaveImage", "inputs": {"filename_prefix": "%Sample.seed%"}},
    });
    let workflow = set(&prompt, &[("1", "seed", json!(6)), ("2", "text", json!("{b|b}"))]);
    assert_eq!(given(&workflow, "2", "text"), "b");
    // What the file itself says was worked on when it was exported.
    assert_eq!(given(&workflow, "4", "filename_prefix"), "%Sample.seed%");
    let workflow = set(&prompt, &[("1", "seed", json!(6)), ("4", "filename_prefix", json!("%Sample.seed%-%T.steps%"))]);
    assert_eq!(given(&workflow, "4", "filename_prefix"), "6-1");
    assert_eq!(workflow.prompt_json["4"]["inputs"]["filename_prefix"], "6-1");
}

#[test]
fn fault_04_values_are_written_into_the_widgets() {
    let workflow = set(&graph(), &[("1", "seed", json!(u64::MAX)), ("2", "text", json!("a dog"))]);
    let editor = workflow.workflow_json.as_ref().unwrap();
    assert_eq!(editor["nodes"][0]["widgets_values"], json!([u64::MAX, "fixed", 20]));
    assert_eq!(editor["nodes"][1]["widgets_values"], json!(["a dog"]));
    exact(&workflow);
    // By name as well, where the file has names.
    let mut named = graph();
    named["nodes"][0]["widgets_values_named"] = json!({"seed": 5, "steps": 20});
    let workflow = set(&named, &[("1", "seed", json!(6))]);
    let editor = workflow.workflow_json.as_ref().unwrap();
    assert_eq!(editor["nodes"][0]["widgets_values"], json!([6, "fixed", 20]));
    assert_eq!(editor["nodes"][0]["widgets_values_named"], json!({"seed": 6, "steps": 20}));
    // A file that saves no value is given all of the node's.
    let mut bare = graph();
    bare["nodes"][0]["widgets_values"] = Value::Null;
    let workflow = set(&bare, &[("1", "steps", json!(3))]);
    assert_eq!(workflow.workflow_json.as_ref().unwrap()["nodes"][0]["widgets_values"], json!([0, "randomize", 3]));
    exact(&workflow);
}

#[test]
fn fault_04_a_primitive_is_set_or_a_link_is_taken_off() {
    let primitive = |targets: usize| {
        let mut nodes = vec![with(
            node(1, "PrimitiveNode", json!([]), json!([5, "fixed"])),
            json!({"outputs": [{"type": "INT", "links": (0..targets).map(|n| n + 10).collect::<Vec<_>>()}]}),
        )];
        let links: Vec<_> = (0..targets).map(|n| json!([n + 10, 1, 0, n + 2, 0, "INT"])).collect();
        nodes.extend(
            (0..targets)
                .map(|n| node(n as i64 + 2, "Empty", json!([["width", "INT", n + 10, "width"]]), json!([5, 6, 7]))),
        );
        file(nodes, json!(links))
    };
    let workflow = set(&primitive(1), &[("2", "width", json!(9))]);
    let editor = workflow.workflow_json.as_ref().unwrap();
    assert_eq!(editor["nodes"][0]["widgets_values"], json!([9, "fixed"]));
    exact(&workflow);
    // With two targets the primitive cannot be set for one of them.
    let workflow = set(&primitive(2), &[("2", "width", json!(9))]);
    let editor = workflow.workflow_json.as_ref().unwrap();
    assert_eq!(editor["nodes"][0]["widgets_values"], json!([5, "fixed"]));
    assert_eq!(editor["nodes"][1]["inputs"][0]["link"], Value::Null);
    assert_eq!(editor["links"], json!([[11, 1, 0, 3, 0, "INT"]]));
    assert_eq!(editor["nodes"][0]["outputs"][0]["links"], json!([11]));
    exact(&workflow);
}

/// A subgraph whose text is promoted or not, instanced twice.
fn twice(promoted: bool) -> Value {
    let link = if promoted { json!(1) } else { json!(null) };
    let definition = json!({
        "id": "sub", "name": "Sub", "nodes": [node(1, "Text", json!([["text", "STRING", link, "text"]]), json!(["inner"]))],
        "links": if promoted { json!([{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0}]) } else { json!([]) },
        "inputs": if promoted { json!([{"name": "text", "type": "STRING", "linkIds": [1]}]) } else { json!([]) }, "outputs": [],
    });
    let slots = if promoted { json!([["text", "STRING", null, "text"]]) } else { json!([]) };
    let instance =
        |id: i64| node(id, "sub", slots.clone(), if promoted { json!([format!("of {id}")]) } else { json!([]) });
    with(file(vec![instance(7), instance(8)], json!([])), json!({"definitions": {"subgraphs": [definition]}}))
}

#[test]
fn fault_04_a_promoted_value_is_written_on_the_instance() {
    let workflow = set(&twice(true), &[("7:1", "text", json!("set"))]);
    assert_eq!((given(&workflow, "7:1", "text"), given(&workflow, "8:1", "text")), (json!("set"), json!("of 8")));
    assert_eq!(workflow.workflow_json.as_ref().unwrap()["nodes"][0]["widgets_values"], json!(["set"]));
    exact(&workflow);
}

#[test]
fn fault_04_what_no_widget_can_hold_is_told_here_and_in_the_file() {
    let workflow = set(&twice(false), &[("7:1", "text", json!("set"))]);
    assert_eq!((given(&workflow, "7:1", "text"), given(&workflow, "8:1", "text")), (json!("set"), json!("inner")));
    let editor = workflow.workflow_json.as_ref().unwrap();
    assert_eq!(editor["definitions"]["subgraphs"][0]["nodes"][0]["widgets_values"], json!(["inner"]));
    assert_eq!(editor["extra"]["redraft"]["inputs"], json!({"7:1.text": "set"}));
    assert!(workflow.remarks.iter().any(|remark| remark.text.contains("other values for 7:1.text")));
    // With one instance there is no doubt.
    let mut once = twice(false);
    once["nodes"].as_array_mut().unwrap().pop();
    exact(&set(&once, &[("7:1", "text", json!("set"))]));
}

#[test]
fn fault_04_a_picture_s_workflow_is_given_what_its_prompt_is() {
    let prompt = json!({"1": {"class_type": "Sample", "inputs": {"seed": 5, "steps": 20}}, "2": {"class_type": "Text", "inputs": {"text": "a"}}});
    let texts = [("prompt", prompt.to_string()), ("workflow", graph().to_string())];
    let bytes = files::picture(&texts.each_ref().map(|(keyword, text)| (*keyword, text.as_str())));
    let schemas = schemas();
    let context = Context { schemas: &schemas, folders: &(), seed: 0, now: NOW };
    let wanted = [("1", "seed", json!(9)), ("2", "text", json!("{x|x}"))];
    let wanted = wanted.map(|(node, input, value)| Override { node: node.into(), input: input.to_owned(), value });
    let workflow = read_with(&bytes, &context, &wanted).unwrap();
    assert_eq!((given(&workflow, "1", "seed"), given(&workflow, "2", "text")), (json!(9), json!("x")));
    let editor = workflow.workflow_json.unwrap();
    assert_eq!(editor["nodes"][0]["widgets_values"], json!([9, "fixed", 20]));
    assert_eq!(editor["nodes"][1]["widgets_values"], json!(["x"]));
}

#[test]
fn fault_03_floats_keep_their_last_digit() {
    for text in [
        "0.5",
        "0.4999999999999999",
        "0.1",
        "0.30000000000000004",
        "5e-324",
        "1.7976931348623157e308",
        "0.6299999999999999",
    ] {
        let written = format!(
            r#"{{"version": 0.4, "links": [], "nodes": [{{"id": 1, "type": "Filter", "widgets_values": [{text}]}}]}}"#
        );
        let schemas = schemas();
        let context = Context { schemas: &schemas, folders: &(), seed: 0, now: NOW };
        let workflow = read(written.as_bytes(), &context).unwrap();
        let value: f64 = text.parse().unwrap();
        assert_eq!(given(&workflow, "1", "strength").as_f64(), Some(value));
        assert_eq!(
            workflow.prompt_json.to_string().split("\"strength\":").nth(1).unwrap().split('}').next(),
            Some(json!(value).to_string().as_str())
        );
    }
}
