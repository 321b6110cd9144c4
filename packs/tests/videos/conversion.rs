//! Files of the editor, whose values have names there.

use redraft_engine::node::Registry;
use redraft_engine::workflow::{Context, LocalTime, Workflow, read_value};
use serde_json::{Value as Json, json};

fn convert(file: &Json) -> Workflow {
    let registry = Registry::linked().unwrap();
    let now = LocalTime { year: 2026, month: 11, day: 26, hour: 5, minute: 6, second: 7 };
    read_value(file, &Context { schemas: &registry, folders: &(), seed: 0, now }).unwrap()
}

fn file(values: Json, inputs: Json) -> Json {
    json!({
        "version": 0.4,
        "nodes": [
            { "id": 1, "type": "EmptyImage", "mode": 0, "inputs": [], "outputs": [{ "name": "IMAGE", "type": "IMAGE", "links": [1] }],
              "widgets_values": [64, 64, 8, 0] },
            { "id": 2, "type": "PrimitiveInt", "mode": 0, "inputs": [], "outputs": [{ "name": "INT", "type": "INT", "links": [2] }],
              "widgets_values": [23, "fixed"] },
            { "id": 3, "type": "VHS_VideoCombine", "mode": 0, "inputs": inputs, "outputs": [], "widgets_values": values },
        ],
        "links": [[1, 1, 0, 3, 0, "IMAGE"], [2, 2, 0, 3, 4, "INT"]],
    })
}

#[test]
fn the_widgets_of_a_format_are_sent_and_the_player_is_not() {
    let values = json!({
        "frame_rate": 12, "loop_count": 0, "filename_prefix": "out/%date:yyyy%", "format": "video/h264-mp4", "pix_fmt": "yuv420p",
        "crf": 19, "save_metadata": true, "pingpong": false, "save_image": false,
        "videopreview": { "hidden": false, "paused": false, "params": { "filename": "x.mp4" } },
    });
    let image = json!({ "name": "images", "type": "IMAGE", "link": 1 });
    let crf = json!({ "name": "crf", "type": "INT", "link": 2, "widget": { "name": "crf" } });
    let workflow = convert(&file(values.clone(), json!([image])));
    let inputs = workflow.prompt.to_json()["3"]["inputs"].clone();
    assert_eq!(
        inputs,
        json!({
            "frame_rate": 12, "loop_count": 0, "filename_prefix": "out/2026", "format": "video/h264-mp4", "pingpong": false,
            "save_output": false, "pix_fmt": "yuv420p", "crf": 19, "save_metadata": true, "images": ["1", 0],
        })
    );
    let remarks: Vec<_> = workflow.remarks.iter().map(ToString::to_string).collect();
    assert!(remarks.iter().all(|remark| !remark.contains("videopreview")), "{remarks:?}");
    // A widget that was turned into a socket.
    let workflow = convert(&file(values, json!([image, crf])));
    assert_eq!(workflow.prompt.to_json()["3"]["inputs"]["crf"], json!(["2", 0]));
}
