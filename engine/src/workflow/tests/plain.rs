//! Nodes, widgets and links of a single graph.

use super::*;

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
        [
            "node `1`: `Load` is muted: it is left out",
            "node `2`: input `width` is fed by node `1`, which is muted: it is left out"
        ]
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
    const LENGTH: i64 = 30_000;
    let mut nodes = vec![node(0, "Load", json!([]), json!([]))];
    let mut links = Vec::new();
    for id in 1..=LENGTH {
        nodes.push(node(id, "Reroute", json!([["", "*", id]]), json!(null)));
        links.push(json!([id, id - 1, 0, id, 0, "*"]));
        nodes.push(node(LENGTH + id, "SaveImage", json!([["images", "IMAGE", LENGTH + id]]), json!(["x"])));
        links.push(json!([LENGTH + id, LENGTH, 0, LENGTH + id, 0, "*"]));
    }
    let prompt = convert(&file(nodes, json!(links))).prompt;
    assert_eq!(prompt.nodes.len(), 30_001);
    assert_eq!(prompt.nodes["60000"].inputs["images"], crate::prompt::Given::link("0", 0));
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
        ["node `1`: `SaveImage` is muted: it is left out", "no node of the workflow would run"]
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

/// The inputs that a class of this declaration is sent, for these saved values.
fn sent(class: &str, declared: Value, values: Value) -> String {
    let schemas = ObjectInfo::from_json(&json!({class: {"input": {"required": declared}, "output": []}}));
    let context = Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() };
    let file = file(vec![node(1, class, json!([]), values)], json!([]));
    let workflow = read(&serde_json::to_vec(&file).unwrap(), &context).unwrap();
    workflow.prompt.to_json()["1"]["inputs"].to_string()
}

#[test]
fn the_editor_adds_widgets_of_its_own() {
    let int = json!(["INT", {}]);
    assert_eq!(
        sent(
            "C",
            json!({"a": [["x", "y"], {"control_after_generate": true}], "b": int}),
            json!(["y", "fixed", "filter", 7])
        ),
        r#"{"a":"y","b":7}"#
    );
    assert_eq!(
        sent("C", json!({"a": ["FLOAT", {"control_after_generate": true}], "b": int}), json!([0.5, "fixed", 7])),
        r#"{"a":0.5,"b":7}"#
    );
    assert_eq!(
        sent("C", json!({"seed": ["INT", {"control_after_generate": false}], "b": int}), json!([5, 7])),
        r#"{"seed":5,"b":7}"#
    );
    assert_eq!(sent("PreviewAny", json!({"source": ["*"]}), json!([true])), r#"{"preview":"","previewMode":true}"#);
    let audio = json!({"audio": ["COMBO", {"options": [], "audio_upload": true}]});
    assert_eq!(sent("LoadAudio", audio, json!(["a.mp3", null, null])), r#"{"audio":"a.mp3","audioUI":""}"#);
    let mesh = json!({"mesh": ["MESH"], "filename_prefix": ["STRING", {}]});
    assert_eq!(sent("SaveGLB", mesh, json!(["m", "view"])), r#"{"filename_prefix":"m","image":"view"}"#);
    let output = json!({"image": ["COMBO", {"image_upload": true, "remote": {}}]});
    assert_eq!(
        sent("LoadImageOutput", output, json!(["a.png", "refresh", "image"])),
        r#"{"image":"a.png [output]","refresh":"refresh"}"#
    );
    assert_eq!(
        sent("KSampler", json!({"sampler_name": [["euler"]]}), json!(["sample_euler"])),
        r#"{"sampler_name":"euler"}"#
    );
}

#[test]
fn a_dynamic_combo_brings_its_choice_s_inputs() {
    let declared = json!({
        "mode": ["COMFY_DYNAMICCOMBO_V3", {"options": [
            {"key": "by", "inputs": {"required": {"factor": ["FLOAT", {"default": 2.0}]}}},
            {"key": "to", "inputs": {"required": {
                "how": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "w", "inputs": {"required": {"width": ["INT", {}]}}}]}],
                "like": ["IMAGE", {}],
            }}},
        ]}],
        "last": ["INT", {"default": 9}],
    });
    assert_eq!(
        sent("C", declared.clone(), json!(["to", "w", 64, 5])),
        r#"{"mode":"to","mode.how":"w","mode.how.width":64,"last":5}"#
    );
    assert_eq!(sent("C", declared.clone(), json!([])), r#"{"mode":"by","mode.factor":2.0,"last":9}"#);
    assert_eq!(sent("C", declared, json!(["gone", 5])), r#"{"mode":"gone","last":5}"#);
}

#[test]
fn autogrow_has_its_least_sockets_and_what_was_saved() {
    let info = json!({"Batch": {"input": {"required": {"images": ["COMFY_AUTOGROW_V3", {"template": {
        "input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1, "max": 9}}]}}, "output": ["IMAGE"]}});
    let schemas = ObjectInfo::from_json(&info);
    let context = Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() };
    let nodes = vec![
        node(1, "Gone", json!([]), json!(null)),
        node(2, "Batch", json!([["images.image1", "IMAGE", 2], ["images.image0", "IMAGE", 1]]), json!([])),
    ];
    let file = file(nodes, json!([[1, 1, 0, 2, 0, "IMAGE"], [2, 1, 1, 2, 1, "IMAGE"]]));
    let workflow = read(&serde_json::to_vec(&file).unwrap(), &context).unwrap();
    assert_eq!(
        workflow.prompt.to_json()["2"]["inputs"].to_string(),
        r#"{"images.image0":["1",0],"images.image1":["1",1]}"#
    );
}

#[test]
fn old_class_names_are_renamed() {
    let schemas = ObjectInfo::from_json(&json!({"ControlNetLoader": {"input": {}, "output": []}}));
    let context = Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() };
    let file = file(vec![node(1, "T2IAdapterLoader", json!([]), json!([]))], json!([]));
    let workflow = read(&serde_json::to_vec(&file).unwrap(), &context).unwrap();
    assert_eq!(workflow.prompt.nodes["1"].class_type, "ControlNetLoader");
}

#[test]
fn a_primitive_replaces_text_when_it_is_asked_to() {
    let primitive = |replaces: bool| {
        let primitive = with(
            node(1, "PrimitiveNode", json!([]), json!(["w=%Size.width%"])),
            json!({"outputs": [{"links": [1]}], "properties": {"Run widget replace on values": replaces}}),
        );
        let size = with(node(2, "Empty", json!([]), json!([64, 1, 1])), json!({"title": "Size"}));
        let text = node(3, "Text", json!([["text", "STRING", 1, "text"]]), json!(["old"]));
        inputs(&file(vec![primitive, size, text], json!([[1, 1, 0, 3, 0, "STRING"]])))["3"]["text"].clone()
    };
    assert_eq!(primitive(true), "w=64");
    assert_eq!(primitive(false), "w=%Size.width%");
}
