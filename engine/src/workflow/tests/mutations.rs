//! Files that are wrong in any way give an error or a prompt, never a panic, and soon.

use proptest::prelude::*;

use super::*;

/// A file with something of everything: reroutes, primitives, bypass, wireless nodes, a subgraph, a group.
fn everything() -> Value {
    let nodes = vec![
        node(1, "Load", json!([]), json!([])),
        with(
            node(2, "Filter", json!([["image", "IMAGE", 1]]), json!([0.5])),
            json!({"mode": 4, "outputs": [{"type": "IMAGE", "links": [2]}]}),
        ),
        node(3, "Reroute", json!([["", "*", 2]]), json!(null)),
        with(
            node(4, "S", json!([["size", "INT", 4, "size"]]), json!([64])),
            json!({"properties": {"proxyWidgets": [["-1", "size"]]}}),
        ),
        with(
            node(5, "PrimitiveNode", json!([]), json!([7, "fixed"])),
            json!({"outputs": [{"type": "INT", "links": [4]}]}),
        ),
        node(6, "SetNode", json!([["x", "*", 3]]), json!(["A"])),
        node(7, "GetNode", json!([]), json!(["A"])),
        with(
            node(8, "workflow>G", json!([["image", "IMAGE", 5]]), json!([0.1])),
            json!({"outputs": [{"type": "IMAGE", "links": [6]}]}),
        ),
        node(9, "SaveImage", json!([["images", "IMAGE", 6]]), json!(["%Load It.x% %date:yyyy%"])),
        node(10, "Text", json!([]), json!(["{a|{b|c}} // d"])),
        node(11, "SaveImage", json!([["images", "IMAGE", 7]]), json!(["x"])),
    ];
    let links = json!([
        [1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "*"], [3, 3, 0, 6, 0, "*"], [4, 5, 0, 4, 0, "INT"],
        [5, 7, 0, 8, 0, "*"], [6, 8, 0, 9, 0, "IMAGE"], {"id": 7, "origin_id": 4, "origin_slot": 0, "target_id": 11, "target_slot": 0},
    ]);
    let inner = json!({"type": "Filter", "inputs": [{"name": "image", "type": "IMAGE"}], "outputs": [{"type": "IMAGE"}], "widgets_values": [1]});
    let group = json!({"nodes": [inner, inner], "links": [[null, 0, 0, 0, 1, "IMAGE"], [0, 0, 1, 0, 2, "IMAGE"]],
        "external": [[1, 0, "IMAGE"]], "config": {"0": {"input": {}, "output": {}}}});
    let sub = super::subgraphs::subgraph("S");
    with(file(nodes, links), json!({"definitions": {"subgraphs": [sub]}, "extra": {"groupNodes": {"G": group}}}))
}

/// The place that number `at` leads to, counting depth first.
fn place(value: &mut Value, at: usize) -> Option<&mut Value> {
    let mut stack = vec![value];
    let mut left = at;
    while let Some(value) = stack.pop() {
        if left == 0 {
            return Some(value);
        }
        left -= 1;
        match value {
            Value::Array(items) => stack.extend(items.iter_mut().rev()),
            Value::Object(fields) => stack.extend(fields.values_mut()),
            _ => {}
        }
    }
    None
}

/// What may stand anywhere.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        (-30i64..40).prop_map(|n| json!(n)),
        (-30i64..40).prop_map(|n| json!(n.to_string())),
        Just(json!(i64::MIN)),
        Just(json!(u64::MAX)),
        Just(json!(1e300)),
        Just(json!([])),
        Just(json!({})),
        Just(json!(["1", 0])),
        Just(json!({"__value__": [1]})),
        prop::sample::select(vec![
            "S",
            "G",
            "workflow>G",
            "Reroute",
            "GetNode",
            "SetNode",
            "PrimitiveNode",
            "*",
            "",
            "IMAGE",
            "Gone"
        ])
        .prop_map(|text| json!(text)),
        ".{0,12}".prop_map(|text| json!(text)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_changed_file_never_panics(changes in prop::collection::vec((0usize..420, anything()), 1..12)) {
        let mut file = everything();
        for (at, value) in changes {
            if let Some(place) = place(&mut file, at) {
                *place = value;
            }
        }
        if let Ok(workflow) = try_convert(&file) {
            // What was read can be written, and read again as what it is.
            let again = try_convert(&workflow.prompt.to_json());
            prop_assert!(workflow.prompt.nodes.is_empty() || again.is_ok_and(|w| w.prompt.nodes.len() == workflow.prompt.nodes.len()));
        }
    }

    #[test]
    fn parts_swapped_within_a_file_never_panic(swaps in prop::collection::vec((1usize..420, 1usize..420), 1..8)) {
        let mut file = everything();
        for (from, to) in swaps {
            let Some(part) = place(&mut file, from).map(|part| part.clone()) else { continue };
            if let Some(place) = place(&mut file, to) {
                *place = part;
            }
        }
        let _ = try_convert(&file);
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0usize..4) {
        let start: &[u8] = [&b""[..], b"{\"nodes\":[", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"][kind];
        let schemas = schemas();
        let context = Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() };
        prop_assert!(read(&[start, &bytes].concat(), &context).is_err());
    }

    #[test]
    fn a_damaged_picture_never_panics(at in 8usize..600, byte in any::<u8>(), cut in 8usize..600) {
        let text = everything().to_string();
        let mut bytes = super::files::picture(&[("workflow", &text[..400]), ("prompt", "{}")]);
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(cut.max(8));
        let schemas = schemas();
        let _ = read(&bytes, &Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() });
    }
}

#[test]
fn everything_is_a_whole_file() {
    let workflow = convert(&everything());
    assert_eq!(
        inputs(&everything()),
        json!({
            "1": {},
            "9": {"filename_prefix": "%Load It.x% 2026", "images": ["8:1", 0]},
            "10": {"text": workflow.prompt.to_json()["10"]["inputs"]["text"]},
            "11": {"filename_prefix": "x", "images": ["4:2", 0]},
            "4:1": {"width": 7, "height": 22, "color": 33},
            "4:2": {"strength": 0.5, "image": ["4:1", 0]},
            "8:0": {"strength": 0.1, "image": ["1", 0]},
            "8:1": {"strength": 1, "image": ["8:0", 0]},
        })
    );
    assert!(workflow.remarks.iter().all(|remark| remark.severity == Severity::Note), "{:?}", workflow.remarks);
}
