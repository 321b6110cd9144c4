//! Our nodes' declarations against ComfyUI 0.8.0's: names, types, order, defaults, limits, choices, outputs.
#![allow(clippy::unwrap_used)]

use redraft_engine::node::Registry;
use redraft_engine::schema::{Beyond, Input, Kind, Output, Schema, Schemas};
use redraft_engine::stock::Stock;
use redraft_nodes as _;

/// Where we differ on purpose: the class, what differs, and why.
const OTHERWISE: [(&str, &str, &str); 1] =
    [("ComfySwitchNode", "outputs", "an output typed like its input is `*` here")];

/// Without words, which are our own.
fn wordless(input: &Input) -> Input {
    // Beyond its range ComfyUI declares nothing.
    let mut input = Input { tooltip: String::new(), beyond: Beyond::Nowhere, ..input.clone() };
    if let Kind::DynamicCombo(choices) = &mut input.kind {
        choices.iter_mut().flat_map(|choice| &mut choice.inputs).for_each(|inner| *inner = wordless(inner));
    }
    input
}

/// What two declarations differ in: a name for each difference, and both sides.
fn differences(ours: &Schema, theirs: &Schema) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut compare = |what: &str, ours: String, theirs: String| {
        if ours != theirs {
            found.push((what.to_owned(), format!("\n    ours   {ours}\n    theirs {theirs}")));
        }
    };
    compare("display_name", ours.display_name.clone(), theirs.display_name.clone());
    compare("category", ours.category.clone(), theirs.category.clone());
    let flags = |schema: &Schema| format!("{:?}", (schema.output_node, schema.deprecated, schema.experimental));
    compare("flags", flags(ours), flags(theirs));
    let hidden = |schema: &Schema| format!("{:?}", schema.hidden);
    compare("hidden", hidden(ours), hidden(theirs));
    let names = |inputs: &[Input]| format!("{:?}", inputs.iter().map(|input| &input.name).collect::<Vec<_>>());
    compare("inputs", names(&ours.inputs), names(&theirs.inputs));
    for input in &ours.inputs {
        if let Some(declared) = theirs.input(&input.name) {
            compare(&input.name, format!("{:?}", wordless(input)), format!("{:?}", wordless(declared)));
        }
    }
    let outputs = |outputs: &[Output]| {
        let each = outputs.iter().map(|output| (&output.name, &output.ty, output.is_list));
        format!("{:?}", each.collect::<Vec<_>>())
    };
    compare("outputs", outputs(&ours.outputs), outputs(&theirs.outputs));
    found
}

#[test]
fn declarations_are_those_of_comfyui() {
    let registry = Registry::linked().unwrap();
    assert!(registry.iter().count() > 10);
    let (mut failures, mut met) = (Vec::new(), 0);
    for class in registry.iter() {
        let name = class.schema.class.as_str();
        let Some(theirs) = Stock.schema(name) else {
            failures.push(format!("{name}: ComfyUI has no such class"));
            continue;
        };
        for (what, text) in differences(&class.schema, theirs) {
            match OTHERWISE.iter().find(|(class, differs, _)| *class == name && *differs == what) {
                Some(_) => met += 1,
                None => failures.push(format!("{name}.{what}:{text}")),
            }
        }
    }
    assert!(failures.is_empty(), "{} differences\n{}", failures.len(), failures.join("\n"));
    assert_eq!(met, OTHERWISE.len(), "something in OTHERWISE no longer differs");
}
