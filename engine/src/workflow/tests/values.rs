//! Fault 2: which saved value is whose, by name and by place.

use super::*;

fn sampled(values: Value) -> Value {
    file(vec![node(1, "Sample", json!([]), values)], json!([]))
}

#[test]
fn fault_02_a_seed_s_missing_control_shifts_nothing() {
    let missing = sampled(json!([7, 30]));
    assert_eq!(inputs(&missing), json!({"1": {"seed": 7, "steps": 30}}));
    assert_eq!(
        remarks(&missing),
        ["node `1`: `control_after_generate` was not saved: the values after it are taken without it"]
    );
    // Where the rest does not fit better for it, the control was saved wrongly, and nothing moves.
    let wrong = sampled(json!([7, 3.5, 30]));
    assert_eq!(inputs(&wrong), json!({"1": {"seed": 7, "steps": 3.5}}));
    let wrong = sampled(json!([7, {}, 30]));
    assert_eq!(inputs(&wrong), json!({"1": {"seed": 7, "steps": 30}}));
    assert_eq!(
        remarks(&wrong),
        [
            "node `1`: `control_after_generate` was saved as `{}`, which cannot belong there (it wants one of fixed, increment, \
          decrement and randomize): the values may be of another version of `Sample`; set them anew"
        ]
    );
    // Old files have a boolean, others nothing.
    for control in [json!(true), json!(null), json!(""), json!("increment")] {
        assert_eq!(inputs(&sampled(json!([7, control, 30])))["1"]["steps"], 30);
    }
}

#[test]
fn fault_02_a_control_that_the_class_no_longer_has_is_left_out() {
    let empty = file(vec![node(1, "Empty", json!([]), json!([1, "randomize", 2, 3]))], json!([]));
    assert_eq!(inputs(&empty), json!({"1": {"width": 1, "height": 2, "color": 3}}));
}

#[test]
fn fault_02_a_value_that_cannot_belong_is_told_and_shifts_nothing() {
    let empty = file(vec![node(1, "Empty", json!([]), json!([1, "bicubic", 3]))], json!([]));
    assert_eq!(inputs(&empty), json!({"1": {"width": 1, "height": "bicubic", "color": 3}}));
    assert!(remarks(&empty)[0].starts_with(
        "node `1`: `height` was saved as `\"bicubic\"`, which cannot belong there (it wants a value of type INT)"
    ));
}

#[test]
fn fault_02_names_beat_places() {
    let named = |values: Value, names: Value| {
        let node = with(node(1, "Empty", json!([]), values), json!({ "widgets_values_named": names }));
        file(vec![node], json!([]))
    };
    let other_order = named(json!([9, 1, 2]), json!({"color": 9, "width": 1, "height": 2}));
    assert_eq!(inputs(&other_order), json!({"1": {"width": 1, "height": 2, "color": 9}}));
    assert_eq!(remarks(&other_order), [""; 0]);
    // What has no name has the default if the places are of another order, and its place if they agree.
    assert_eq!(inputs(&named(json!([9, 1]), json!({"color": 9, "width": 1})))["1"]["height"], 256);
    assert_eq!(inputs(&named(json!([1, 7, 9]), json!({"color": 9, "width": 1})))["1"]["height"], 7);
    // A missing control is no matter where there are names.
    let seed = with(
        node(1, "Sample", json!([]), json!([7, 3.5])),
        json!({ "widgets_values_named": {"seed": 7, "steps": 3.5} }),
    );
    assert_eq!(inputs(&file(vec![seed], json!([]))), json!({"1": {"seed": 7, "steps": 3.5}}));
}

#[test]
fn fault_02_names_of_an_unknown_class_are_kept() {
    let tint = with(
        node(1, "PackTint", json!([["image", "IMAGE", null], ["tint", "STRING", 5, "tint"]]), json!([0.25, "blue"])),
        json!({ "widgets_values_named": {"amount": 0.25, "tint": "blue", "control_after_generate": "fixed"} }),
    );
    let text = node(2, "Text", json!([]), json!(["red"]));
    let file = file(vec![tint, text], json!([[5, 2, 0, 1, 1, "STRING"]]));
    assert_eq!(inputs(&file)["1"], json!({"amount": 0.25, "tint": ["2", 0]}));
    assert_eq!(remarks(&file), ["node `1`: the class `PackTint` is not known: its links are kept"]);
}

#[test]
fn fault_02_a_viewer_s_buttons_are_no_values() {
    let load = |values: Value| {
        let schemas = crate::stock::Stock;
        let file = file(vec![node(1, "Load3D", json!([]), values)], json!([]));
        let context = Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() };
        read_value(&file, &context).unwrap().prompt.to_json()["1"]["inputs"].clone()
    };
    let expected = json!({"model_file": "toy.glb", "image": "", "width": 1024, "height": 768});
    assert_eq!(load(json!(["toy.glb", "upload3dmodel", "uploadExtraResources", "clear", "", 1024, 768])), expected);
    assert_eq!(load(json!(["toy.glb", "upload3dmodel", "clear", "", 1024, 768])), expected);
    assert_eq!(load(json!(["toy.glb", "", 1024, 768])), expected);
}

/// A subgraph of which one node is of a class that nobody knows, and an instance with a value for each input.
fn instanced(instance: Value) -> Value {
    let inner = |id: i64, class: &str, link: i64, input: &str| {
        node(id, class, json!([[input, "STRING", link, input]]), json!(["inner"]))
    };
    let slot = |name: &str, link: i64| json!({"name": name, "type": "STRING", "linkIds": [link]});
    let link = |id: i64, slot: i64, to: i64| json!({"id": id, "origin_id": -10, "origin_slot": slot, "target_id": to, "target_slot": 0});
    let definition = json!({
        "id": "sub", "name": "Sub", "nodes": [inner(1, "Unknown", 1, "vae"), inner(2, "Text", 2, "text")],
        "links": [link(1, 0, 1), link(2, 1, 2)], "inputs": [slot("vae", 1), slot("prompt", 2)], "outputs": [],
    });
    let outer = json!([["vae", "STRING", null, "vae"], ["prompt", "STRING", null, "prompt"]]);
    let outer = with(node(7, "sub", outer, json!(null)), instance);
    with(file(vec![outer], json!([])), json!({"definitions": {"subgraphs": [definition]}}))
}

#[test]
fn fault_02_promoted_values_belong_to_the_instance_s_own_inputs() {
    let expected = json!({"7:1": {"vae": "a.vae"}, "7:2": {"text": "a cat"}});
    let of = |instance: Value| {
        let mut found = inputs(&instanced(instance));
        found["7:1"].as_object_mut().unwrap().remove("UNKNOWN");
        found
    };
    assert_eq!(of(json!({"widgets_values": ["a.vae", "a cat"]})), expected);
    // In another order than the definition's, and by name.
    let turned = json!([
        {"name": "prompt", "type": "STRING", "link": null, "widget": {"name": "prompt"}},
        {"name": "vae", "type": "STRING", "link": null, "widget": {"name": "vae"}},
    ]);
    assert_eq!(of(json!({"widgets_values": ["a cat", "a.vae"], "inputs": turned})), expected);
    let named = json!({"vae": "a.vae", "prompt": "a cat"});
    assert_eq!(of(json!({"widgets_values": ["a cat", "a.vae"], "widgets_values_named": named})), expected);
}

#[test]
fn fault_02_a_seed_that_a_choice_brings_has_no_control() {
    let info = ObjectInfo::from_json(&json!({"Generate": {"output": [], "input": {"required": {
        "mode": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "on", "inputs": {"required": {
            "seed": ["INT", {}], "penalty": ["FLOAT", {}]}}}]}],
        "thinking": ["BOOLEAN", {}],
    }}}}));
    let file = file(vec![node(1, "Generate", json!([]), json!(["on", 5, 0, true]))], json!([]));
    let context = Context { schemas: &info, folders: &(), seed: 0, now: LocalTime::default() };
    let read = read_value(&file, &context).unwrap();
    assert_eq!(
        read.prompt.to_json()["1"]["inputs"],
        json!({"mode": "on", "mode.seed": 5, "mode.penalty": 0, "thinking": true})
    );
    assert!(read.remarks.is_empty());
}
