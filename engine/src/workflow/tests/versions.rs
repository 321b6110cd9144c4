//! Files of other versions of ComfyUI: each is read by the declarations that saved it, and runs by those of here.

use super::*;
use crate::prompt::NodeId;
use crate::schema::{Edition, Schema, Schemas};
use crate::stock::{ReadAs, Stock, Version};

fn by(schemas: &dyn Schemas, file: &Value) -> Workflow {
    let context = Context { schemas, folders: &(), seed: 0, now: LocalTime::default() };
    read_value(file, &context).unwrap()
}

fn one(class: &str, values: Value) -> Workflow {
    by(&Stock, &file(vec![node(1, class, json!([]), values)], json!([])))
}

fn given(workflow: &Workflow) -> Value {
    workflow.prompt.to_json()["1"]["inputs"].clone()
}

fn warnings(workflow: &Workflow) -> Vec<String> {
    let warnings = workflow.remarks.iter().filter(|remark| remark.severity == Severity::Warning);
    warnings.map(ToString::to_string).collect()
}

#[test]
fn an_input_that_came_later_is_left_out_and_told_of_unless_it_has_its_default() {
    for values in [json!([24]), json!([24, 8])] {
        let workflow = one("CreateVideo", values);
        assert_eq!(given(&workflow), json!({"fps": 24}));
        assert_eq!(warnings(&workflow), [""; 0]);
    }
    let workflow = one("CreateVideo", json!([24, 10]));
    assert_eq!(given(&workflow), json!({"fps": 24}));
    let told = "node `1`: `CreateVideo` of ComfyUI 0.33.0 has the input `bit_depth`, here `10`: ComfyUI 0.8.0, by whose nodes \
                redraft runs, does not know it, and it is left out";
    assert_eq!(warnings(&workflow), [told]);
    let prompt = json!({"1": {"class_type": "CreateVideo", "inputs": {"fps": 24, "bit_depth": 10}}});
    let workflow = by(&Stock, &prompt);
    assert_eq!(given(&workflow), json!({"fps": 24}));
    assert_eq!(warnings(&workflow), [told]);
    assert_eq!(workflow.prompt_json, prompt);
}

#[test]
fn a_choice_of_a_choice_is_the_plain_choice_again() {
    let plain = json!({"filename_prefix": "v", "format": "mp4", "codec": "h264"});
    let workflow = one("SaveVideo", json!(["v", "mp4", "h264", "auto", "auto"]));
    assert_eq!((given(&workflow), warnings(&workflow)), (plain.clone(), vec![]));
    let workflow = one("SaveVideo", json!(["v", "mp4", "h264"]));
    assert_eq!((given(&workflow), warnings(&workflow)), (plain.clone(), vec![]));
    let workflow = one("SaveVideo", json!(["v", "mp4", "h264", "re-encode", 20.0, "auto", "auto"]));
    assert_eq!(given(&workflow), plain);
    let told = warnings(&workflow);
    assert!(told.len() == 2 && told[0].contains("`format.codec.encoding`, here `\"re-encode\"`"), "{told:?}");
    assert!(told[1].contains("`format.codec.encoding.crf`, here `20.0`"), "{told:?}");
    // In a prompt, what the choice brought beats what is kept for older prompts.
    let prompt = json!({"1": {"class_type": "SaveVideo", "inputs":
        {"filename_prefix": "v", "format": "mp4", "format.codec": "h264", "codec": "auto"}}});
    assert_eq!(given(&by(&Stock, &prompt)), plain);
}

#[test]
fn what_is_set_is_written_where_the_other_version_keeps_it() {
    let saved = file(vec![node(1, "SaveVideo", json!([]), json!(["v", "mp4", "auto", "auto"]))], json!([]));
    let context = Context { schemas: &Stock, folders: &(), seed: 0, now: LocalTime::default() };
    let codec = Override { node: NodeId::from("1"), input: "codec".into(), value: json!("av1") };
    let prefix = Override { node: NodeId::from("1"), input: "filename_prefix".into(), value: json!("w") };
    let workflow = read_value_with(&saved, &context, &[prefix, codec]).unwrap();
    assert_eq!(given(&workflow), json!({"filename_prefix": "w", "format": "mp4", "codec": "av1"}));
    let written = &workflow.workflow_json.unwrap()["nodes"][0]["widgets_values"];
    assert_eq!(*written, json!(["w", "mp4", "av1", "auto"]));
}

#[test]
fn names_beat_the_places_of_any_version() {
    let saved = |named: Value| {
        let node = node(1, "SaveVideo", json!([]), json!(["v", "mp4", "h264", "auto", "auto"]));
        one_file(with(node, json!({"widgets_values_named": named})))
    };
    let named = json!({"filename_prefix": "n", "format": "mp4", "format.codec": "h264", "format.codec.encoding": "auto", "codec": "auto"});
    assert_eq!(given(&saved(named)), json!({"filename_prefix": "n", "format": "mp4", "codec": "h264"}));
}

fn one_file(node: Value) -> Workflow {
    by(&Stock, &file(vec![node], json!([])))
}

#[test]
fn a_link_into_an_input_that_came_later_is_left_out_and_told_of() {
    let guide =
        node(1, "LTXVAddGuide", json!([["attention_mask", "MASK", 1], ["mine", "MASK", null]]), json!([0, 1.0]));
    let load = node(2, "LoadImageMask", json!([]), json!(["a.png", "alpha"]));
    let workflow = by(&Stock, &file(vec![guide, load], json!([[1, 2, 0, 1, 0, "MASK"]])));
    assert_eq!(given(&workflow), json!({"frame_idx": 0, "strength": 1.0}));
    assert!(warnings(&workflow)[0].contains("the input `attention_mask`, here linked: "), "{:?}", workflow.remarks);
    let prompt = json!({"1": {"class_type": "LTXVAddGuide", "inputs": {"frame_idx": 0, "attention_mask": ["2", 0]}}});
    let workflow = by(&Stock, &prompt);
    assert_eq!(given(&workflow), json!({"frame_idx": 0}));
    assert!(warnings(&workflow)[0].contains("the input `attention_mask`, here linked: "), "{:?}", workflow.remarks);
}

#[test]
fn outputs_keep_their_names_where_their_numbers_changed() {
    let newer = json!([
        1,
        1,
        16,
        0.0005,
        8,
        "AdamW",
        "MSE",
        7,
        "randomize",
        "none",
        "bf16",
        true,
        "LoRA",
        true,
        2,
        false,
        "[None]",
        false,
        false
    ]);
    let older =
        json!([1, 1, 16, 0.0005, 8, "AdamW", "MSE", 7, "randomize", "fp32", "bf16", "LoRA", true, "[None]", false]);
    for (values, saved, slot) in [(newer, 0, 1), (older, 1, 1)] {
        let train = node(1, "TrainLoraNode", json!([]), values);
        let save = node(2, "SaveLoRA", json!([["lora", "LORA_MODEL", 1]]), json!(["loras/x"]));
        let workflow = by(&Stock, &file(vec![train, save], json!([[1, 1, saved, 2, 0, "LORA_MODEL"]])));
        assert_eq!(workflow.prompt.to_json()["2"]["inputs"]["lora"], json!(["1", slot]));
        assert_eq!((&given(&workflow)["seed"], &given(&workflow)["bucket_mode"]), (&json!(7), &json!(false)));
    }
}

/// A class whose two inputs a later version declares in the other order, with another default.
struct Turned(ObjectInfo, ObjectInfo);

impl Turned {
    fn new() -> Self {
        let of = |inputs: Value| ObjectInfo::from_json(&json!({"C": {"input": {"required": inputs}, "output": []}}));
        Self(
            of(json!({"a": ["INT", {}], "b": ["INT", {}]})),
            of(json!({"b": ["INT", {"default": 5}], "a": ["INT", {}]})),
        )
    }
}

impl Schemas for Turned {
    fn schema(&self, class: &str) -> Option<&Schema> {
        self.0.schema(class)
    }

    fn saved_by(&self, class: &str) -> Vec<Edition<'_>> {
        let both = [&self.0, &self.1].into_iter().zip(Version::all());
        both.filter_map(|(of, version)| Some(Edition { version: Some(version), schema: of.schema(class)? })).collect()
    }
}

#[test]
fn of_two_that_fit_the_one_is_taken_that_the_file_names() {
    let turned = Turned::new();
    let read = |properties: Value, extra: Value| {
        let node = with(node(1, "C", json!([]), json!([1, 2])), json!({ "properties": properties }));
        given(&by(&turned, &with(file(vec![node], json!([])), json!({ "extra": extra }))))
    };
    let (older, newer) = (json!({"a": 1, "b": 2}), json!({"a": 2, "b": 1}));
    let core = |version: &str| json!({"cnr_id": "comfy-core", "ver": version});
    assert_eq!(read(json!({}), json!({})), older);
    assert_eq!(read(core("0.3.40"), json!({"frontendVersion": "1.35.9"})), older);
    assert_eq!(read(core("0.33.0"), json!({})), newer);
    assert_eq!(read(json!({"cnr_id": "a-pack", "ver": "2.0.0"}), json!({})), older);
    // The node is older than the editor that saved it.
    assert_eq!(read(core("0.3.40"), json!({"frontendVersion": "1.54.15"})), newer);
    assert_eq!(read(core("0.20.0"), json!({"frontendVersion": "1.42.15"})), older);
    // A value that is not saved has the default of the version that saved the others.
    let short = with(node(1, "C", json!([]), json!([])), json!({"properties": core("0.33.0")}));
    assert_eq!(given(&by(&turned, &file(vec![short], json!([])))), json!({"a": 0, "b": 5}));
}

#[test]
fn a_version_that_is_named_from_outside_is_the_only_one() {
    let registry = crate::node::Registry::linked().unwrap();
    let saved = file(vec![node(1, "CreateVideo", json!([]), json!([24, 10]))], json!([]));
    let told = |version| warnings(&by(&ReadAs(crate::stock::Known(&registry), version), &saved));
    assert!(told("0.8.0".parse().ok())[0].contains("has no widgets for the saved values"));
    assert!(told("0.33.0".parse().ok())[0].contains("`bit_depth`"));
    assert_eq!(told(None), told("0.33.0".parse().ok()));
    // Of a prompt, it decides which defaults fill what is missing.
    let filled = |version| {
        let schemas = ReadAs(crate::stock::Known(&registry), version);
        let mut workflow = by(&schemas, &json!({"1": {"class_type": "WanContextWindowsManual", "inputs": {}}}));
        workflow.fill_defaults(&schemas, &());
        given(&workflow)["freenoise"].clone()
    };
    assert_eq!((filled(None), filled("0.33.0".parse().ok())), (json!(false), json!(true)));
}

#[test]
fn a_link_from_an_output_that_came_later_is_one_from_what_it_passes_on() {
    let nodes = |link: Value| {
        json!({
            "1": {"class_type": "EmptyImage", "inputs": {}},
            "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
            "3": {"class_type": "SaveImage", "inputs": {"images": link, "filename_prefix": "x"}},
            "4": {"class_type": "ImageInvert", "inputs": {"image": ["3", 0]}},
        })
    };
    let workflow = by(&Stock, &nodes(json!(["2", 0])));
    let prompt = workflow.prompt.to_json();
    assert_eq!(
        (&prompt["3"]["inputs"]["images"], &prompt["4"]["inputs"]["image"]),
        (&json!(["1", 0]), &json!(["1", 0]))
    );
    assert_eq!(workflow.remarks.len(), 2);
    let told = "node `4`: `image` is linked to an output that `SaveImage` (node 3) has since later versions only: it is given what \
                that passes on";
    assert_eq!(workflow.remarks[1].to_string(), told);
    // Round in a circle, it stays what it is.
    assert!(by(&Stock, &nodes(json!(["3", 0]))).prompt.nodes.contains_key("4"));
    let save = node(3, "SaveImage", json!([["images", "IMAGE", 1]]), json!(["x"]));
    let invert = node(4, "ImageInvert", json!([["image", "IMAGE", 2]]), json!([]));
    let links = json!([[1, 1, 0, 3, 0, "IMAGE"], [2, 3, 0, 4, 0, "IMAGE"]]);
    let drawn = file(vec![node(1, "EmptyImage", json!([]), json!([64, 64, 1, 0])), save, invert], links);
    let prompt = by(&Stock, &drawn).prompt.to_json();
    assert_eq!(prompt["4"]["inputs"]["image"], json!(["1", 0]));
}

#[test]
fn a_class_that_is_gone_is_the_one_that_does_its_work() {
    let prompt = json!({"1": {"class_type": "T2IAdapterLoader", "inputs": {"t2i_adapter_name": "a.pth"}}});
    let workflow = by(&Stock, &prompt);
    assert_eq!(workflow.prompt.nodes["1"].class_type, "ControlNetLoader");
    assert_eq!(given(&workflow), json!({"control_net_name": "a.pth"}));
    let told = "node `1`: the class `T2IAdapterLoader` is called `ControlNetLoader` today";
    assert_eq!(workflow.remarks[0].to_string(), told);
    let text = node(2, "PrimitiveString", json!([]), json!(["b.pth"]));
    let load =
        node(1, "T2IAdapterLoader", json!([["t2i_adapter_name", "COMBO", 1, "t2i_adapter_name"]]), json!(["a.pth"]));
    let workflow = by(&Stock, &file(vec![load, text], json!([[1, 2, 0, 1, 0, "COMBO"]])));
    assert_eq!(given(&workflow), json!({"control_net_name": ["2", 0]}));
    assert_eq!(workflow.remarks[0].to_string(), told);
}
