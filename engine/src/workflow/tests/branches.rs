//! Faults 9, 10, 14 and 17: nodes that are none, branches that are switched off, prompts of another day, and what is said of it.

use super::*;

/// Two branches, each of a source, a filter and an output; the second filter's mode is given.
fn branches(mode: i64) -> Value {
    let branch = |from: i64, mode: i64| {
        vec![
            node(from, "Load", json!([]), json!([])),
            with(node(from + 1, "Filter", json!([["image", "IMAGE", from]]), json!([0.5])), json!({ "mode": mode })),
            node(from + 2, "SaveImage", json!([["images", "IMAGE", from + 1]]), json!(["x"])),
        ]
    };
    let links = json!([
        [1, 1, 0, 2, 0, "IMAGE"],
        [2, 2, 0, 3, 0, "IMAGE"],
        [11, 11, 0, 12, 0, "IMAGE"],
        [12, 12, 0, 13, 0, "IMAGE"]
    ]);
    file([branch(1, 0), branch(11, mode)].concat(), links)
}

#[test]
fn fault_14_what_hangs_on_a_muted_node_is_left_out() {
    let mut workflow = convert(&branches(2));
    assert!(workflow.prompt.nodes.contains_key("13"), "the conversion itself leaves the node, as the editor does");
    workflow.leave_out_muted(&schemas());
    let ids: Vec<_> = workflow.prompt.nodes.keys().map(|id| id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "3", "11"]);
    let said: Vec<_> = workflow.remarks.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "node `12`: `Filter` is muted: it is left out",
            "node `13`: `SaveImage` is left out: it needs node `12`, which is muted"
        ]
    );
    let mut bypassed = convert(&branches(4));
    bypassed.leave_out_muted(&schemas());
    assert_eq!(bypassed.prompt.nodes.len(), 5);
}

#[test]
fn fault_14_an_optional_input_may_lack_its_source() {
    let info = ObjectInfo::from_json(&json!({
        "Load": {"input": {}, "output": ["IMAGE"]},
        "Show": {"input": {"required": {}, "optional": {"image": ["IMAGE"]}}, "output": [], "output_node": true},
    }));
    let muted = with(node(1, "Load", json!([]), json!([])), json!({"mode": 2}));
    let file = file(
        vec![muted, node(2, "Show", json!([["image", "IMAGE", 1]]), json!([]))],
        json!([[1, 1, 0, 2, 0, "IMAGE"]]),
    );
    let mut workflow =
        read_value(&file, &Context { schemas: &info, folders: &(), seed: 0, now: LocalTime::default() }).unwrap();
    workflow.leave_out_muted(&info);
    assert!(workflow.prompt.nodes.contains_key("2"));
    assert!(
        workflow.remarks.iter().any(|remark| remark.text.contains("input `image` is fed by node `1`, which is muted"))
    );
}

#[test]
fn fault_09_nodes_of_the_editor_alone_are_no_nodes_of_a_prompt() {
    let nodes = ["Label (rgthree)", "Bookmark (rgthree)", "Fast Groups Bypasser (rgthree)", "Anything Everywhere"];
    let nodes = nodes.iter().zip(1..).map(|(class, id)| node(id, class, json!([]), json!(["x", 1])));
    let mut nodes: Vec<_> = nodes.collect();
    nodes.push(node(8, "Load", json!([]), json!([])));
    nodes.push(node(9, "Reroute (rgthree)", json!([["", "*", 5]]), json!([])));
    nodes.push(node(10, "SaveImage", json!([["images", "IMAGE", 6]]), json!(["p"])));
    let file = with(
        file(nodes, json!([[5, 8, 0, 9, 0, "IMAGE"], [6, 9, 0, 10, 0, "IMAGE"]])),
        json!({"extra": {"ue_links": []}}),
    );
    assert_eq!(inputs(&file), json!({"8": {}, "10": {"filename_prefix": "p", "images": ["8", 0]}}));
    assert_eq!(remarks(&file), [""; 0]);
}

#[test]
fn fault_09_links_that_are_everywhere_are_followed() {
    let nodes = |mode: i64| {
        vec![
            node(1, "Load", json!([]), json!([])),
            node(2, "Load", json!([]), json!([])),
            with(node(3, "Anything Everywhere", json!([["IMAGE", "*", 7]]), json!([])), json!({ "mode": mode })),
            node(4, "SaveImage", json!([["images", "IMAGE", null]]), json!(["p"])),
            node(5, "Blend", json!([["a", "IMAGE", 8], ["b", "IMAGE", null]]), json!([])),
            with(
                node(6, "Seed Everywhere", json!([]), json!([42, "fixed"])),
                json!({"outputs": [{"type": "INT", "links": []}]}),
            ),
            node(7, "Sample", json!([["seed", "INT", null, "seed"]]), json!([1, "fixed", 20])),
        ]
    };
    let everywhere = |to: i64, slot: i64, from: &str, controller: i64| json!({"downstream": to, "downstream_slot": slot, "upstream": from, "upstream_slot": 0, "controller": controller, "type": "IMAGE"});
    let links = json!([everywhere(4, 0, "1", 3), everywhere(5, 0, "1", 3), everywhere(5, 1, "1", 3), everywhere(7, 0, "6", 6), {"downstream": 99}]);
    let made = |mode: i64, links: &Value| {
        let file = file(nodes(mode), json!([[7, 1, 0, 3, 0, "IMAGE"], [8, 2, 0, 5, 0, "IMAGE"]]));
        with(file, json!({"extra": {"ue_links": links}}))
    };
    let found = inputs(&made(0, &links));
    assert_eq!(found["4"], json!({"filename_prefix": "p", "images": ["1", 0]}));
    assert_eq!(found["5"], json!({"a": ["2", 0], "b": ["1", 0]}), "what is drawn wins");
    assert_eq!(found["7"], json!({"seed": 42, "steps": 20}));
    assert_eq!(inputs(&made(2, &links))["4"], json!({"filename_prefix": "p"}), "a muted sender sends nothing");
    assert!(remarks(&made(0, &Value::Null))[0].contains("the file does not say where"));
}

#[test]
fn fault_10_inputs_that_a_class_gained_have_their_default() {
    let info = ObjectInfo::from_json(&json!({"Scale": {"output": ["IMAGE"], "input": {"required": {
        "image": ["IMAGE"], "steps": ["INT", {"default": 3}], "seed": ["INT", {}], "kind": [["a", "b"], {}], "by": [["a", "b"], {"default": "b"}],
    }}}}));
    let prompt = json!({"1": {"class_type": "Scale", "inputs": {"image": ["2", 0]}}});
    let mut workflow = convert(&prompt);
    workflow.fill_defaults(&info, &());
    assert_eq!(workflow.prompt.to_json()["1"]["inputs"], json!({"image": ["2", 0], "steps": 3, "by": "b"}));
    assert_eq!(
        workflow.remarks[0].to_string(),
        "node `1`: `Scale` has the input `steps`, which the prompt lacks: its default 3 is taken"
    );
}

#[test]
fn fault_17_all_that_changes_is_explained() {
    let mut file = branches(4);
    file["nodes"].as_array_mut().unwrap().push(node(20, "Text", json!([]), json!([r#"{"a": 1} see https://x.y"#])));
    let said = remarks(&file);
    assert_eq!(
        said,
        [
            "node `20`: `text`: what stands behind `//` or between `/*` and `*/` is taken out, as comments are; of what stands in \
             braces one option is taken, without the braces (`\\{` keeps one)",
            "node `12`: `Filter` is bypassed: it is left out, and what it is given is passed on",
        ]
    );
    // Inner nodes are named as the prompt names them.
    let definition =
        json!({"id": "sub", "name": "Sub", "nodes": [node(43, "Empty", json!([]), json!([1]))], "links": []});
    let outer = with(
        super::file(vec![node(52, "sub", json!([]), json!([])), node(53, "sub", json!([]), json!([]))], json!([])),
        json!({"definitions": {"subgraphs": [definition]}}),
    );
    assert_eq!(
        remarks(&outer),
        ["node `52:43`: nothing is saved for `height`, `color` of `Empty`: the default is taken"]
    );
}
