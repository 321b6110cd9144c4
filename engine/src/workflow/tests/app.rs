//! The inputs and outputs of the app view.

use super::subgraphs::subgraph;
use super::*;

fn found(file: &Value) -> (Vec<String>, Vec<String>) {
    let schemas = schemas();
    let context = Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() };
    let app = app(file, &context).unwrap();
    let inputs = app.inputs.iter().map(|(node, input)| format!("{node}.{input}"));
    (inputs.collect(), app.outputs.iter().map(ToString::to_string).collect())
}

#[test]
fn what_the_author_chose_is_found_in_the_prompt() {
    let shown = json!({"proxyWidgets": [["-1", "size"], ["2", "strength"]]});
    let instance =
        with(node(5, "S", json!([["size", "INT", null, "size"]]), json!([64, null])), json!({"properties": shown}));
    let primitive = with(
        node(6, "PrimitiveNode", json!([]), json!([9, "fixed"])),
        json!({"outputs": [{"type": "INT", "links": [1]}]}),
    );
    let sample = node(7, "Sample", json!([["steps", "INT", 1, "steps"]]), json!([3, "fixed", 20]));
    let data = json!({
        "inputs": [["7", "seed"], [5, "strength"], [5, "size"], [6, "value"], [99, "gone"], ["7", "seed"], "x"],
        "outputs": [7, "5", null, 99],
    });
    let file = with(
        file(vec![instance, primitive, sample], json!([[1, 6, 0, 7, 0, "INT"]])),
        json!({"definitions": {"subgraphs": [subgraph("S")]}, "extra": {"linearData": data}}),
    );
    let (inputs, outputs) = found(&file);
    assert_eq!(inputs, ["7.seed", "5:2.strength", "5:1.width", "7.steps"]);
    assert_eq!(outputs, ["7", "5"]);
}

#[test]
fn a_file_without_an_app_view_has_none() {
    assert_eq!(found(&file(vec![], json!([]))), (vec![], vec![]));
}
