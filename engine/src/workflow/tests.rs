#![allow(clippy::unwrap_used)]
//! Each rule of the conversion on a graph as small as it can be.

use serde_json::{Value, json};

use super::*;
use crate::object_info::ObjectInfo;

fn schemas() -> ObjectInfo {
    ObjectInfo::from_json(&json!({
        "Load": {"input": {}, "output": ["IMAGE", "MASK"], "display_name": "Load It"},
        "Clip": {"input": {}, "output": ["CLIP"]},
        "Empty": {"input": {"required": {
            "width": ["INT", {"default": 512}], "height": ["INT", {"default": 256}], "color": ["INT", {}],
        }}, "output": ["IMAGE"]},
        "Filter": {"input": {"required": {"image": ["IMAGE"], "strength": ["FLOAT", {"default": 1.0}]}}, "output": ["IMAGE"]},
        "Blend": {"input": {"required": {"a": ["IMAGE"], "b": ["IMAGE"]}}, "output": ["IMAGE"]},
        "Both": {"input": {"required": {"image": ["IMAGE"], "clip": ["CLIP"]}}, "output": ["IMAGE", "CLIP"]},
        "Decode": {"input": {"required": {"latent": ["LATENT"]}}, "output": ["IMAGE"]},
        "Sample": {"input": {"required": {"seed": ["INT", {}], "steps": ["INT", {"default": 20}]}}, "output": ["LATENT"]},
        "Text": {"input": {"required": {"text": ["STRING", {"dynamicPrompts": true}]}}, "output": ["STRING"]},
        "Old": {"input": {"required": {"a": ["INT", {}], "in": ["STRING", {"forceInput": true}], "b": ["INT", {}]}}, "output": []},
        "Pick": {"input": {"required": {"file": [[], {}], "kind": [["x", "y"], {}]}}, "output": []},
        "LoadImage": {"input": {"required": {"image": [["a.png"], {"image_upload": true}]}}, "output": ["IMAGE"]},
        "SaveImage": {"input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "C"}]}},
            "output": [], "output_node": true},
    }))
}

fn try_convert(file: &Value) -> Result<Workflow, ReadError> {
    let schemas = schemas();
    let now = LocalTime { year: 2026, month: 11, day: 23, hour: 5, minute: 6, second: 7 };
    read(&serde_json::to_vec(file).unwrap(), &Context { schemas: &schemas, folders: &(), seed: 0, now })
}

fn convert(file: &Value) -> Workflow {
    try_convert(file).unwrap()
}

/// The inputs of each node of the prompt, by id.
fn inputs(file: &Value) -> Value {
    let prompt = convert(file).prompt.to_json();
    prompt.as_object().unwrap().iter().map(|(id, node)| (id.clone(), node["inputs"].clone())).collect()
}

fn remarks(file: &Value) -> Vec<String> {
    convert(file).remarks.iter().map(ToString::to_string).collect()
}

fn node(id: i64, class: &str, inputs: Value, values: Value) -> Value {
    let inputs: Vec<_> = inputs
        .as_array()
        .unwrap()
        .iter()
        .map(|i| json!({"name": i[0], "type": i[1], "link": i[2], "widget": i.get(3).map(|w| json!({"name": w}))}))
        .collect();
    json!({"id": id, "type": class, "mode": 0, "inputs": inputs, "widgets_values": values})
}

fn with(mut node: Value, changes: Value) -> Value {
    node.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    node
}

fn file(nodes: Vec<Value>, links: Value) -> Value {
    json!({"version": 0.4, "nodes": nodes, "links": links})
}

#[test]
fn widgets_come_before_links_and_keep_their_place() {
    let file = file(
        vec![
            node(10, "Empty", json!([]), json!([1, 2, 3])),
            node(9, "Filter", json!([["image", "IMAGE", 1]]), json!([0.5])),
            node(
                2,
                "SaveImage",
                json!([["filename_prefix", "STRING", 3, "filename_prefix"], ["images", "IMAGE", 2]]),
                json!(["p"]),
            ),
            node(3, "Text", json!([]), json!(["t"])),
        ],
        json!([[1, 10, 0, 9, 0, "IMAGE"], [2, 9, 0, 2, 0, "IMAGE"], [3, 3, 0, 2, 1, "STRING"]]),
    );
    let expected = r#"{"2":{"filename_prefix":["3",0],"images":["9",0]},"3":{"text":"t"},"9":{"strength":0.5,"image":["10",0]},"10":{"width":1,"height":2,"color":3}}"#;
    assert_eq!(inputs(&file).to_string(), expected);
    assert_eq!(remarks(&file), [""; 0]);
}

#[test]
fn a_seed_s_control_takes_a_value_and_is_not_sent() {
    let sample = |values: Value| inputs(&file(vec![node(1, "Sample", json!([]), values)], json!([])));
    assert_eq!(sample(json!([7, "fixed", 30])), json!({"1": {"seed": 7, "steps": 30}}));
    assert_eq!(sample(json!([u64::MAX, "fixed", 20.7])), json!({"1": {"seed": u64::MAX, "steps": 20.7}}));
    // No tolerance for a missing one: the reference shifts as well, and we say so.
    let shifted = file(vec![node(1, "Sample", json!([]), json!([7, 30]))], json!([]));
    assert_eq!(inputs(&shifted), json!({"1": {"seed": 7, "steps": 20}}));
    assert_eq!(remarks(&shifted), ["node `1`: nothing is saved for `steps` of `Sample`: the default is taken"]);
}

#[test]
fn values_may_be_missing_null_too_many_or_named() {
    let empty = |values: Value| file(vec![node(1, "Empty", json!([]), values)], json!([]));
    assert_eq!(inputs(&empty(json!([null, 5]))), json!({"1": {"width": null, "height": 5, "color": 0}}));
    assert_eq!(inputs(&empty(json!(null))), json!({"1": {"width": 512, "height": 256, "color": 0}}));
    assert_eq!(
        inputs(&empty(json!({"color": 9, "width": 1, "preview": {}}))),
        json!({"1": {"width": 1, "height": 256, "color": 9}})
    );
    assert_eq!(
        remarks(&empty(json!([1, 2, 3, "x", null]))),
        [r#"node `1`: `Empty` has no widgets for the saved values `"x"`"#]
    );
    let array = empty(json!([[1, 2], 2, 3]));
    assert_eq!(inputs(&array)["1"]["width"], json!({"__value__": [1, 2]}));
}

#[test]
fn a_combo_s_default_is_its_first_choice_or_nothing() {
    assert_eq!(inputs(&file(vec![node(1, "Pick", json!([]), json!([]))], json!([]))), json!({"1": {"kind": "x"}}));
}

#[test]
fn the_upload_button_is_saved_and_not_sent() {
    let load = file(vec![node(1, "LoadImage", json!([]), json!(["b.png [output]", "image"]))], json!([]));
    assert_eq!(inputs(&load), json!({"1": {"image": "b.png [output]"}}));
    assert_eq!(remarks(&load), [""; 0]);
}

#[test]
fn dummies_of_forced_inputs_are_taken_out() {
    let old = |values: Value| inputs(&file(vec![node(1, "Old", json!([]), values)], json!([])));
    assert_eq!(old(json!([1, "dummy", 2])), json!({"1": {"a": 1, "b": 2}}));
    assert_eq!(old(json!([1, 2])), json!({"1": {"a": 1, "b": 2}}));
}

#[test]
fn mute_removes_and_bypass_keeps_the_stored_value() {
    let fed = |mode: i64, class: &str| {
        let source = with(node(1, class, json!([]), json!([])), json!({"mode": mode}));
        file(
            vec![source, node(2, "Empty", json!([["width", "INT", 1, "width"]]), json!([5, 6, 7]))],
            json!([[1, 1, 0, 2, 0, "INT"]]),
        )
    };
    assert_eq!(inputs(&fed(2, "Load")), json!({"2": {"height": 6, "color": 7}}));
    assert_eq!(
        remarks(&fed(2, "Load")),
        ["node `2`: input `width` is fed by node `1`, which is muted: it is left out"]
    );
    assert_eq!(inputs(&fed(4, "Load")), json!({"2": {"width": 5, "height": 6, "color": 7}}));
    // The event modes behave like 0.
    assert_eq!(inputs(&fed(3, "Load"))["2"]["width"], json!(["1", 0]));
}

#[test]
fn bypass_follows_the_types() {
    let through = |class: &str, ins: Value, out: usize, want: &str| {
        let nodes = vec![
            node(1, "Load", json!([]), json!([])),
            node(2, "Clip", json!([]), json!([])),
            with(node(3, class, ins, json!([])), json!({"mode": 4})),
            node(4, "Unknown", json!([["in", want, 9]]), json!(null)),
        ];
        let links = json!([[1, 1, 0, 3, 0, "IMAGE"], [2, 2, 0, 3, 1, "CLIP"], [9, 3, out, 4, 0, want]]);
        inputs(&file(nodes, links))["4"]["in"].clone()
    };
    let both = json!([["image", "IMAGE", 1], ["clip", "CLIP", 2]]);
    assert_eq!(through("Both", both.clone(), 0, "IMAGE"), json!(["1", 0]));
    assert_eq!(through("Both", both.clone(), 1, "CLIP"), json!(["2", 0]));
    assert_eq!(through("Both", both.clone(), 1, "*"), json!(["2", 0]));
    assert_eq!(through("Decode", json!([["latent", "LATENT", 1]]), 0, "IMAGE"), Value::Null);
    // The input of the same number wins even unlinked.
    assert_eq!(through("Blend", json!([["a", "IMAGE", null], ["b", "IMAGE", 1]]), 0, "IMAGE"), Value::Null);
    // Types may list several, in any case.
    assert_eq!(through("Gone", json!([["x", "mask,image", 1]]), 0, "IMAGE"), json!(["1", 0]));
}

#[test]
fn reroutes_are_seen_through_even_when_muted() {
    let reroute = |id, link: i64| with(node(id, "Reroute", json!([["", "*", link]]), json!(null)), json!({"mode": 2}));
    let nodes = vec![
        node(1, "Load", json!([]), json!([])),
        reroute(2, 1),
        reroute(3, 2),
        node(4, "SaveImage", json!([["images", "IMAGE", 3]]), json!(["x"])),
    ];
    let links = json!([[1, 1, 1, 2, 0, "*"], [2, 2, 0, 3, 0, "*"], {"id": 3, "origin_id": 3, "origin_slot": "0", "target_id": 4, "target_slot": 0}]);
    assert_eq!(inputs(&file(nodes, links))["4"]["images"], json!(["1", 1]));
}

#[test]
fn dangling_links_are_unconnected_and_reported() {
    let nodes = vec![
        node(1, "SaveImage", json!([["images", "IMAGE", 7]]), json!(["x"])),
        node(2, "SaveImage", json!([["images", "IMAGE", 8]]), json!(["x"])),
        node(3, "SaveImage", json!([["images", "IMAGE", 9]]), json!(["x"])),
    ];
    let file = file(nodes, json!([[8, 99, 0, 2, 0, "IMAGE"], [9, -10, 0, 3, 0, "IMAGE"]]));
    assert_eq!(inputs(&file)["1"], json!({"filename_prefix": "x"}));
    assert_eq!(
        remarks(&file),
        [
            "node `1`: input `images` has the link 7, which the file lacks: it is taken as unconnected",
            "node `2`: input `images` is linked to node 99, which the file lacks: it is taken as unconnected",
            "node `3`: input `images` is linked to a boundary outside of all: it is taken as unconnected",
        ]
    );
}

#[test]
fn virtual_cycles_end() {
    let reroute = |id, link: i64| node(id, "Reroute", json!([["", "*", link]]), json!(null));
    let nodes = vec![reroute(1, 2), reroute(2, 1), node(3, "SaveImage", json!([["images", "IMAGE", 3]]), json!(["x"]))];
    let file = file(nodes, json!([[1, 1, 0, 2, 0, "*"], [2, 2, 0, 1, 0, "*"], [3, 2, 0, 3, 0, "IMAGE"]]));
    assert_eq!(inputs(&file), json!({"3": {"filename_prefix": "x"}}));
    assert_eq!(remarks(&file), ["node `2`: its links lead back to itself; they are taken as unconnected"]);
}

#[test]
fn long_chains_with_many_readers_take_no_stack_and_little_time() {
    const LENGTH: i64 = 60_000;
    let mut nodes = vec![node(0, "Load", json!([]), json!([]))];
    let mut links = Vec::new();
    for id in 1..=LENGTH {
        nodes.push(node(id, "Reroute", json!([["", "*", id]]), json!(null)));
        links.push(json!([id, id - 1, 0, id, 0, "*"]));
        nodes.push(node(LENGTH + id, "SaveImage", json!([["images", "IMAGE", LENGTH + id]]), json!(["x"])));
        links.push(json!([LENGTH + id, LENGTH, 0, LENGTH + id, 0, "*"]));
    }
    let start = std::time::Instant::now();
    let prompt = convert(&file(nodes, json!(links))).prompt;
    assert_eq!(prompt.nodes.len(), 60_001);
    assert_eq!(prompt.nodes["120000"].inputs["images"], crate::prompt::Given::link("0", 0));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn notes_are_dropped_and_primitives_write_even_when_muted() {
    let primitive = with(
        node(1, "PrimitiveNode", json!([]), json!([64, "fixed"])),
        json!({"mode": 2, "outputs": [{"name": "INT", "type": "INT", "links": [1, 2]}]}),
    );
    let nodes = vec![
        primitive,
        node(2, "Empty", json!([["width", "INT", 1, "width"], ["height", "INT", 2, "height"]]), json!([1, 2, 3])),
        node(3, "Note", json!([]), json!(["hi"])),
        node(4, "MarkdownNote", json!([]), json!(["hi"])),
    ];
    let file = file(nodes, json!([[1, 1, 0, 2, 0, "INT"], [2, 1, 0, 2, 5, "INT"]]));
    assert_eq!(inputs(&file), json!({"2": {"width": 64, "height": 64, "color": 3}}));
}

#[test]
fn set_and_get_are_followed() {
    let get =
        |id| with(node(id, "GetNode", json!([]), json!(["A"])), json!({"outputs": [{"type": "IMAGE", "links": [2]}]}));
    let nodes = vec![
        node(1, "Load", json!([]), json!([])),
        node(2, "SetNode", json!([["IMAGE", "IMAGE", 1]]), json!(["A"])),
        get(3),
        node(4, "SaveImage", json!([["images", "IMAGE", 2]]), json!(["x"])),
        node(5, "SaveImage", json!([["images", "IMAGE", 3]]), json!(["x"])),
        node(6, "GetNode", json!([]), json!(["B"])),
    ];
    let file = file(nodes, json!([[1, 1, 0, 2, 0, "IMAGE"], [2, 3, 0, 4, 0, "IMAGE"], [3, 6, 0, 5, 0, "IMAGE"]]));
    assert_eq!(
        inputs(&file),
        json!({"1": {}, "4": {"filename_prefix": "x", "images": ["1", 0]}, "5": {"filename_prefix": "x"}})
    );
    assert_eq!(remarks(&file), ["node `6`: no `SetNode` sets `B`: it is taken as unconnected"]);
}

#[test]
fn an_unknown_class_keeps_its_name_links_and_last_value() {
    let nodes =
        vec![node(1, "Load", json!([]), json!([])), node(2, "Gone", json!([["x", "IMAGE", 1]]), json!([1, "last"]))];
    let file = file(nodes, json!([[1, 1, 0, 2, 0, "IMAGE"]]));
    let workflow = convert(&file);
    assert_eq!(workflow.prompt.nodes["2"].class_type, "Gone");
    assert_eq!(workflow.prompt.nodes["1"].title.as_deref(), Some("Load It"));
    assert_eq!(inputs(&file)["2"], json!({"UNKNOWN": "last", "x": ["1", 0]}));
    assert_eq!(
        remarks(&file),
        ["node `2`: the class `Gone` is not known: its links are kept, but its 2 saved values have no names"]
    );
}

#[test]
fn muted_outputs_are_told_of() {
    let save = with(node(1, "SaveImage", json!([]), json!(["x"])), json!({"mode": 2}));
    assert_eq!(
        remarks(&file(vec![save], json!([]))),
        ["node `1`: `SaveImage` is muted: it will not run", "no node of the workflow would run"]
    );
}

#[test]
fn dynamic_prompts_are_chosen_and_written_into_the_metadata() {
    let workflow = convert(&file(vec![node(1, "Text", json!([]), json!(["{only} // note"]))], json!([])));
    assert_eq!(workflow.prompt.to_json()["1"]["inputs"]["text"], "only ");
    assert_eq!(workflow.workflow_json.unwrap()["nodes"][0]["widgets_values"], json!(["only "]));
}

#[test]
fn names_in_a_prefix_are_filled_in() {
    let save = |prefix: &str| {
        let nodes = vec![
            with(node(1, "Empty", json!([]), json!([8.0, null, 3])), json!({"properties": {"Node name for S&R": "E"}})),
            with(node(2, "Text", json!([]), json!(["a/b"])), json!({"title": "My Text"})),
            node(3, "SaveImage", json!([]), json!([prefix])),
        ];
        inputs(&file(nodes, json!([])))["3"]["filename_prefix"].as_str().unwrap().to_owned()
    };
    assert_eq!(save("%E.width%x%E.height%-%My Text.text%"), "8x-a_b");
    assert_eq!(save("%date:yyyy-MM-dd%/%E.none%%width%"), "2026-11-23/%E.none%%width%");
}

/// A subgraph `id` with an input `size` on the width of an `Empty`, which an inner `Filter` takes up.
fn subgraph(id: &str) -> Value {
    json!({
        "id": id, "name": "Sub", "inputs": [{"name": "size", "type": "INT", "linkIds": [1]}],
        "outputs": [{"name": "out", "type": "IMAGE", "linkIds": [3]}],
        "nodes": [
            node(1, "Empty", json!([["width", "INT", 1, "width"]]), json!([11, 22, 33])),
            node(2, "Filter", json!([["image", "IMAGE", 2]]), json!([0.5])),
        ],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0, "type": "INT"},
            {"id": 2, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": "IMAGE"},
            {"id": 3, "origin_id": 2, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"},
        ],
    })
}

fn with_subgraphs(file: Value, subgraphs: Value) -> Value {
    with(file, json!({"definitions": {"subgraphs": subgraphs}}))
}

#[test]
fn instances_share_what_is_inside_and_own_what_is_promoted() {
    let instance = |id, values: Value| node(id, "S", json!([["size", "INT", null, "size"]]), values);
    let nodes = vec![
        instance(5, json!([64])),
        instance(6, json!([])),
        node(7, "Blend", json!([["a", "IMAGE", 1], ["b", "IMAGE", 2]]), json!([])),
    ];
    let file = with_subgraphs(
        file(nodes, json!([[1, 5, 0, 7, 0, "IMAGE"], [2, 6, 0, 7, 1, "IMAGE"]])),
        json!([subgraph("S")]),
    );
    assert_eq!(
        inputs(&file).to_string(),
        json!({
            "7": {"a": ["5:2", 0], "b": ["6:2", 0]},
            "5:1": {"width": 64, "height": 22, "color": 33},
            "5:2": {"strength": 0.5, "image": ["5:1", 0]},
            "6:1": {"width": 11, "height": 22, "color": 33},
            "6:2": {"strength": 0.5, "image": ["6:1", 0]},
        })
        .to_string()
    );
}

#[test]
fn primitives_set_each_instance_s_own_value() {
    let primitive = |id, link: i64, value: i64| {
        with(
            node(id, "PrimitiveNode", json!([]), json!([value])),
            json!({"outputs": [{"type": "INT", "links": [link]}]}),
        )
    };
    let instance = |id, link: i64| node(id, "S", json!([["size", "INT", link, "size"]]), json!([1]));
    let nodes = vec![primitive(1, 1, 100), primitive(2, 2, 200), instance(5, 1), instance(6, 2)];
    let file =
        with_subgraphs(file(nodes, json!([[1, 1, 0, 5, 0, "INT"], [2, 2, 0, 6, 0, "INT"]])), json!([subgraph("S")]));
    let inputs = inputs(&file);
    assert_eq!((&inputs["5:1"]["width"], &inputs["6:1"]["width"]), (&json!(100), &json!(200)));
}

#[test]
fn proxy_widgets_name_the_promoted_values() {
    let instance = with(
        node(5, "S", json!([["size", "INT", null, "size"]]), json!([0.9, 77])),
        json!({"properties": {"proxyWidgets": "[[\"2\", \"strength\"], [\"-1\", \"size\"]]"}}),
    );
    let inputs = inputs(&with_subgraphs(file(vec![instance], json!([])), json!([subgraph("S")])));
    assert_eq!(inputs["5:1"]["width"], 77);
    assert_eq!(inputs["5:2"]["strength"], 0.5);
}

#[test]
fn nested_instances_come_out_the_same_in_any_order() {
    let outer = json!({
        "id": "O", "name": "Outer", "inputs": [{"name": "big", "type": "INT", "linkIds": [1]}],
        "outputs": [{"name": "out", "type": "IMAGE", "linkIds": [2]}],
        "nodes": [node(3, "S", json!([["size", "INT", 1, "size"]]), json!([5]))],
        "links": [[1, -10, 0, 3, 0, "INT"], [2, 3, 0, -20, 0, "IMAGE"]],
    });
    let nodes = vec![
        node(8, "O", json!([["big", "INT", null, "big"]]), json!([])),
        node(9, "SaveImage", json!([["images", "IMAGE", 1]]), json!(["x"])),
    ];
    let file = file(nodes, json!([[1, 8, 0, 9, 0, "IMAGE"]]));
    let forwards = inputs(&with_subgraphs(file.clone(), json!([subgraph("S"), outer])));
    let backwards = inputs(&with_subgraphs(file, json!([outer, subgraph("S")])));
    assert_eq!(forwards, backwards);
    assert_eq!(forwards["9"]["images"], json!(["8:3:2", 0]));
    assert_eq!(forwards["8:3:1"]["width"], 5);
}

#[test]
fn a_subgraph_that_contains_itself_is_an_error() {
    let own = json!({"id": "S", "name": "Sub", "nodes": [node(1, "S", json!([]), json!([]))], "links": []});
    let file = with_subgraphs(file(vec![node(1, "S", json!([]), json!([]))], json!([])), json!([own]));
    assert_eq!(
        try_convert(&file).unwrap_err().to_string(),
        "the subgraph `Sub` contains itself: take the inner instance out"
    );
}

#[test]
fn expansion_is_bounded_in_number_and_depth() {
    let layers = |count: usize, instances: i64| {
        let mut subgraphs =
            vec![json!({"id": "0", "name": "0", "nodes": [node(1, "Load", json!([]), json!([]))], "links": []})];
        for layer in 1..count {
            let nodes: Vec<_> =
                (0..instances).map(|id| node(id, &(layer - 1).to_string(), json!([]), json!([]))).collect();
            subgraphs.push(json!({"id": layer.to_string(), "name": "n", "nodes": nodes, "links": []}));
        }
        let root = node(1, &(count - 1).to_string(), json!([]), json!([]));
        with_subgraphs(file(vec![root], json!([])), json!(subgraphs))
    };
    assert_eq!(
        try_convert(&layers(30, 10)).unwrap_err().to_string(),
        "the workflow has more than 200000 nodes when its subgraphs are expanded: split it"
    );
    assert_eq!(
        try_convert(&layers(1000, 1)).unwrap_err().to_string(),
        "subgraphs stand more than 64 deep within each other: flatten some"
    );
}

#[test]
fn a_group_node_is_expanded_through_its_reroutes() {
    let groups = json!({"G": {
        "nodes": [
            {"type": "Reroute", "inputs": [{"name": "", "type": "*"}], "outputs": [{"name": "", "type": "*"}]},
            {"type": "Sample", "inputs": [{"name": "seed", "type": "INT", "widget": {"name": "seed"}},
                {"name": "steps", "type": "INT", "widget": {"name": "steps"}}], "widgets_values": [1, "fixed"]},
            {"type": "Filter", "inputs": [{"name": "image", "type": "IMAGE"}], "outputs": [{"type": "IMAGE"}], "widgets_values": [0.25]},
            {"type": "Filter", "inputs": [{"name": "image", "type": "IMAGE"}], "outputs": [{"type": "IMAGE"}], "widgets_values": [0.75]},
        ],
        "links": [[null, 0, 0, 0, 40, "IMAGE"], [0, 0, 2, 0, 41, "IMAGE"], [2, 0, 3, 0, 42, "IMAGE"]],
        "external": [[{"index": 3}, 0, "IMAGE"]],
        "config": {"0": {"input": {"IMAGE": {"name": "picture"}}}},
    }});
    let outer = with(
        node(9, "workflow>G", json!([["picture", "IMAGE", 1]]), json!([123, "randomize", 0.5, 0.6])),
        json!({"outputs": [{"type": "LATENT"}, {"type": "IMAGE", "links": [2]}]}),
    );
    let nodes = vec![
        node(1, "Load", json!([]), json!([])),
        node(2, "Reroute", json!([["", "*", 3]]), json!(null)),
        outer.clone(),
        node(4, "SaveImage", json!([["images", "IMAGE", 2]]), json!(["x"])),
    ];
    let links = json!([[3, 1, 0, 2, 0, "*"], [1, 2, 0, 9, 0, "IMAGE"], [2, 9, 1, 4, 0, "IMAGE"]]);
    let grouped = |nodes| with(file(nodes, links.clone()), json!({"extra": {"groupNodes": groups}}));
    assert_eq!(
        inputs(&grouped(nodes.clone())),
        json!({
            "1": {}, "4": {"filename_prefix": "x", "images": ["9:3", 0]},
            // `steps` had no value when the group was made.
            "9:1": {"seed": 123, "steps": 20},
            "9:2": {"strength": 0.5, "image": ["1", 0]},
            "9:3": {"strength": 0.6, "image": ["9:2", 0]},
        })
    );
    let mut muted = nodes;
    muted[2] = with(outer, json!({"mode": 2}));
    assert_eq!(inputs(&grouped(muted)), json!({"1": {}, "4": {"filename_prefix": "x"}}));
}

#[test]
fn a_request_s_body_is_read_with_its_workflow() {
    let body = json!({
        "prompt": {"1": {"class_type": "Load", "inputs": {}}},
        "extra_data": {"extra_pnginfo": {"workflow": {"nodes": []}}},
    });
    let workflow = convert(&body);
    assert_eq!((workflow.form, workflow.prompt.nodes.len()), (Form::Api, 1));
    assert_eq!(workflow.workflow_json, Some(json!({"nodes": []})));
    assert_eq!(workflow.prompt_json, body["prompt"]);
}

#[test]
fn what_is_no_workflow_says_what_it_is() {
    let error = |bytes: &[u8]| {
        let schemas = schemas();
        let context = Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() };
        read(bytes, &context).unwrap_err().to_string()
    };
    assert_eq!(error(b"[1, 2]"), "`[1,2]` is no workflow: give the JSON that ComfyUI saves or exports");
    assert_eq!(error(b"{}"), "the object is empty: give the JSON that ComfyUI saves or exports");
    assert!(error(br#"{"a": 1}"#).starts_with("the object has neither nodes nor a prompt (its first key is `a`)"));
    assert!(error(&[0xff, 0xd8, 0xff, 0xe0]).starts_with("this is a JPEG picture"));
}

fn picture(texts: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, 1, 1);
    for (keyword, text) in texts {
        encoder.add_text_chunk((*keyword).into(), (*text).into()).unwrap();
    }
    encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
    bytes
}

fn read_picture(texts: &[(&str, &str)]) -> Result<Workflow, ReadError> {
    let schemas = schemas();
    read(&picture(texts), &Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() })
}

#[test]
fn a_picture_runs_its_prompt_and_keeps_its_workflow() {
    let prompt = r#"{"1": {"class_type": "Load", "inputs": {}, "is_changed": [NaN]}}"#;
    let workflow = r#"{"nodes": [{"id": 2, "type": "Clip"}], "links": []}"#;
    let both = read_picture(&[("prompt", prompt), ("workflow", workflow)]).unwrap();
    assert!(both.prompt.nodes.contains_key("1"));
    assert_eq!(both.workflow_json.unwrap()["nodes"][0]["id"], 2);
    assert_eq!(both.remarks[0].text, "`NaN` or an infinity, which JSON does not have, was read as null");
    let only = read_picture(&[("workflow", workflow)]).unwrap();
    assert_eq!((only.form, only.prompt.nodes.contains_key("2")), (Form::Ui, true));
}

#[test]
fn a_picture_without_a_workflow_says_so() {
    let text = read_picture(&[("parameters", "a cat\nSteps: 20")]).unwrap_err().to_string();
    assert!(text.contains("AUTOMATIC1111"), "{text}");
    let text = read_picture(&[]).unwrap_err().to_string();
    assert!(text.starts_with("the picture has no workflow in its metadata"), "{text}");
    let text = read_picture(&[("prompt", "{")]).unwrap_err().to_string();
    assert!(text.starts_with("the picture's `prompt`: line 1, column 1"), "{text}");
}
