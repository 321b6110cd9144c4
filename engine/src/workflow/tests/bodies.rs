//! Fault 11: bodies in which clients, workers and servers pass workflows around.

use super::*;

fn api() -> Value {
    json!({"1": {"class_type": "Load", "inputs": {}}})
}

fn editor() -> Value {
    json!({"nodes": [{"id": 2, "type": "Clip"}], "links": []})
}

#[test]
fn fault_11_each_body_is_read() {
    let bodies = [
        json!({"workflow": api()}),
        json!({"input": {"workflow": api()}}),
        json!({"input": {"prompt": api()}}),
        json!({"workflow": api().to_string()}),
        json!({"input": {"workflow": {"prompt": api()}}}),
        json!({"prompt": [3, "id", api(), {}, ["1"]], "outputs": {}, "status": {}}),
        json!({"0b5c": {"prompt": [3, "id", api(), {}, ["1"]], "outputs": {}, "status": {}, "meta": {}}}),
        json!([3, "id", api(), {}, ["1"]]),
        json!({"output": api(), "workflow": editor()}),
        json!({"prompt": api(), "workflow": editor()}),
    ];
    for body in bodies {
        let workflow = try_convert(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert_eq!((workflow.form, workflow.prompt.nodes.contains_key("1")), (Form::Api, true), "{body}");
        assert_eq!(workflow.prompt_json, api(), "{body}");
    }
    for body in [
        json!({"workflow": editor()}),
        json!({"input": {"workflow": editor()}}),
        json!({"workflow": editor().to_string()}),
    ] {
        let workflow = convert(&body);
        assert_eq!((workflow.form, workflow.prompt.nodes.contains_key("2")), (Form::Ui, true), "{body}");
    }
    let run = json!([3, "id", api(), {"extra_pnginfo": {"workflow": editor()}}, ["1"]]);
    assert_eq!(convert(&json!({"a": {"prompt": run.clone()}})).workflow_json, Some(editor()));
    let error = try_convert(&json!({"a": {"prompt": run.clone()}, "b": {"prompt": run}})).unwrap_err().to_string();
    assert_eq!(error, "the object holds 2 runs of a server's history: give one of them");
}

#[test]
fn fault_11_pictures_come_along() {
    let images = json!([{"name": "sub/a.png", "image": "data:image/png;base64,AQID"}, {"name": "b.png", "image": "BA=="}, {"url": 5}]);
    let workflow = convert(&json!({"input": {"workflow": api(), "images": images}}));
    let files: Vec<_> = workflow.files.iter().map(|file| (file.name.as_str(), file.bytes.as_slice())).collect();
    assert_eq!(files, [("sub/a.png", &[1, 2, 3][..]), ("b.png", &[4][..])]);
    let error = try_convert(&json!({"workflow": api(), "images": [{"name": "a", "image": "?"}]})).unwrap_err();
    assert_eq!(error.to_string(), "the picture `a` in `images` is no base64");
}

#[test]
fn bodies_nest_only_so_deep() {
    let mut body = api();
    for _ in 0..100 {
        body = json!({ "input": body });
    }
    assert!(try_convert(&body).is_err());
}
