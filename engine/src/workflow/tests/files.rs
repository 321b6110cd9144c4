//! Kinds of files.

use super::*;

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

pub(super) fn picture(texts: &[(&str, &str)]) -> Vec<u8> {
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
    assert!(text.starts_with("this is a PNG picture without a workflow in its metadata: give"), "{text}");
    let text = read_picture(&[("prompt", "{")]).unwrap_err().to_string();
    assert!(text.starts_with("`prompt` in the file's metadata: line 1, column 1"), "{text}");
}

#[test]
fn a_picture_with_a_broken_prompt_gives_its_workflow() {
    let editor = r#"{"nodes": [{"id": 2, "type": "Clip"}], "links": []}"#;
    let read = read_picture(&[("prompt", "{"), ("workflow", editor)]).unwrap();
    assert!(read.prompt.nodes.contains_key("2"));
    assert!(read.remarks[0].text.ends_with("; its `workflow` is read instead"), "{}", read.remarks[0]);
}

#[test]
fn a_webp_is_read_like_a_png() {
    let bytes = media::webp::tests::file(
        &[r#"prompt:{"1": {"class_type": "Load", "inputs": {}}}"#, "workflow:{\"nodes\": []}"],
        true,
    );
    let schemas = schemas();
    let context = Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() };
    let workflow = read(&bytes, &context).unwrap();
    assert!(workflow.prompt.nodes.contains_key("1"));
    assert_eq!(workflow.workflow_json, Some(json!({"nodes": []})));
}
