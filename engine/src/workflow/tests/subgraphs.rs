//! Subgraphs and group nodes.

use super::*;

/// A subgraph `id` with an input `size` on the width of an `Empty`, which an inner `Filter` takes up.
pub(super) fn subgraph(id: &str) -> Value {
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
fn copied_values_are_bounded() {
    let long = "x".repeat(1 << 20);
    let sub = json!({"id": "S", "name": "S", "nodes": [node(1, "Text", json!([]), json!([long]))], "links": []});
    let nodes = (0..300).map(|id| node(id, "S", json!([]), json!([]))).collect();
    assert_eq!(
        try_convert(&with_subgraphs(file(nodes, json!([])), json!([sub]))).unwrap_err().to_string(),
        "the workflow takes more than 256 MiB when it is expanded: shorten its values"
    );
}

#[test]
fn entangled_bypasses_are_given_up() {
    // Each reader wants another type, so that no two share what was found, of a node with thousands of inputs.
    let slots: Vec<_> = (0..3000).map(|i| json!([format!("i{i}"), format!("t{i},u{i}"), null])).collect();
    let mut nodes = vec![with(node(0, "Gone", json!(slots), json!(null)), json!({"mode": 4}))];
    let mut links = Vec::new();
    for id in 1..8_000 {
        nodes.push(node(id, "Gone", json!([["x", format!("w{id}"), id]]), json!(null)));
        links.push(json!([id, 0, id, id, 0, "*"]));
    }
    let error = try_convert(&file(nodes, json!(links))).unwrap_err().to_string();
    assert_eq!(error, "the links of the workflow are too entangled to follow: bypass fewer nodes");
}

#[test]
fn fault_14_nothing_in_a_muted_or_bypassed_instance_runs() {
    for mode in [2, 4] {
        let instance = with(node(5, "S", json!([]), json!([])), json!({ "mode": mode }));
        let file = with_subgraphs(file(vec![instance], json!([])), json!([subgraph("S")]));
        assert_eq!(convert(&file).prompt.nodes.len(), 0);
        let remarks = remarks(&file);
        assert_eq!(remarks[0], "node `5:1`: `Empty` is left out: the subgraph around it is muted or bypassed");
        assert_eq!(remarks.len(), 3, "{remarks:?}");
    }
}

#[test]
fn a_boundary_that_lists_no_links_and_a_root_of_schema_1_are_read() {
    let mut sub = subgraph("S");
    sub["inputs"][0].as_object_mut().unwrap().remove("linkIds");
    sub["outputs"][0].as_object_mut().unwrap().remove("linkIds");
    let nodes = vec![
        node(5, "S", json!([["size", "INT", null, "size"]]), json!([64])),
        node(6, "SaveImage", json!([["images", "IMAGE", 1]]), json!(["x"])),
    ];
    let links = json!([{"id": 1, "origin_id": 5, "origin_slot": 0, "target_id": 6, "target_slot": 0, "type": "IMAGE"}]);
    let file = with(with_subgraphs(file(nodes, links), json!([sub])), json!({"version": 1}));
    let inputs = inputs(&file);
    assert_eq!((&inputs["5:1"]["width"], &inputs["6"]["images"]), (&json!(64), &json!(["5:2", 0])));
}
