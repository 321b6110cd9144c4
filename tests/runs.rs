//! Several workflows in one command, and a part of one: what runs, what is reused, and what a failure leaves.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::{Base, Done};
use serde_json::{Value as Json, json};

/// Two pictures saved, one of which is the other inverted.
fn two_outputs(base: &Base, color: i64) -> PathBuf {
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": color}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}, "_meta": {"title": "the negative"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "plain"}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}}
    });
    base.write_json(&format!("{color}.json"), &graph)
}

/// The nodes that were called, of all workflows.
fn called(done: &Done) -> Vec<String> {
    let events = done.stdout.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let executing = events.filter(|event| event["type"] == "executing");
    executing.map(|event| event["data"]["node"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn only_what_is_named_runs() {
    let base = Base::new();
    let file = two_outputs(&base, 5);
    for (name, nodes) in [("3", &["1", "3"][..]), ("the negative", &["1", "2"]), ("ImageInvert", &["1", "2"])] {
        let done = base.run(&file).args(["--json", "--only", name]).finish().expect_code(0);
        assert_eq!(called(&done), nodes, "{name}");
    }
    assert_eq!(base.outputs(), ["plain_00001_.png"]);
    for (name, words) in [
        ("SaveImage", "--only 'SaveImage': the nodes 3, 4 are of this class; name one by its id"),
        ("77", "--only '77': no node has this id, title or class"),
    ] {
        let done = base.run(&file).args(["--only", name]).finish().expect_code(2);
        assert!(done.stderr.contains(words), "{}", done.stderr);
    }
}

#[test]
fn the_cache_policy_says_what_the_next_workflow_finds() {
    for (policy, again) in [
        ("classic", &["1", "2", "3", "4"][..]),
        ("lru:0", &["1", "2", "3", "4"]),
        ("lru:100", &[]),
        ("ram:0.01", &[]),
        ("none", &["1", "2", "3", "4"]),
    ] {
        let base = Base::new();
        let (first, second) = (two_outputs(&base, 1), two_outputs(&base, 2));
        let files: [&Path; 3] = [&first, &second, &first];
        let done = base.command("run", &files).args(["--device", "cpu", "--json", "--cache", policy]);
        let called = called(&done.finish().expect_code(0));
        let mut third = called[8..].to_vec();
        third.sort();
        assert_eq!(third, again, "{policy}");
    }
    let base = Base::new();
    let done = base.run(&two_outputs(&base, 1)).args(["--cache", "big"]).finish().expect_code(2);
    assert!(done.stderr.contains("use classic, lru:N, none or ram:GB"), "{}", done.stderr);
}

/// Saves a picture, then fails: the two latents have different numbers of channels.
fn failing(base: &Base) -> PathBuf {
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 7}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "before"}},
        "3": {"class_type": "ImageToMask", "inputs": {"image": ["1", 0], "channel": "red"}},
        "5": {"class_type": "LatentCompositeMasked", "inputs": {
            "destination": ["6", 0], "source": ["7", 0], "x": 0, "y": 0, "resize_source": false, "mask": ["3", 0]
        }},
        "6": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 2}},
        "7": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 3}},
        "8": {"class_type": "SaveLatent", "inputs": {"samples": ["5", 0], "filename_prefix": "after"}}
    });
    base.write_json("failing.json", &graph)
}

#[test]
fn a_failure_shows_what_the_node_was_given_and_keeps_what_was_finished() {
    let base = Base::new();
    let done = base.run(&failing(&base)).finish().expect_code(1);
    assert!(done.stderr.contains("node 5 (LatentCompositeMasked): "), "{}", done.stderr);
    let given = done.stderr.lines().find(|line| line.contains("node 5 was given: ")).expect("its inputs are told");
    for words in ["destination = \"LATENT 2x4x8x8\"", "source = \"LATENT 3x16x8x8\"", "x = 0", "resize_source = false"]
    {
        assert!(given.contains(words), "{words} is not in {given}");
    }
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    assert_eq!(base.outputs(), ["before_00001_.png"]);
}

#[test]
fn the_next_workflow_runs_all_the_same_where_that_is_asked_for() {
    let base = Base::new();
    let (bad, good) = (failing(&base), two_outputs(&base, 9));
    let files: [&Path; 2] = [&bad, &good];
    let done = base.command("run", &files).args(["--device", "cpu"]).finish().expect_code(1);
    assert!(done.stderr.contains("node 5"), "{}", done.stderr);
    assert_eq!(base.outputs(), ["before_00001_.png"]);

    let base = Base::new();
    let (bad, good) = (failing(&base), two_outputs(&base, 9));
    let files: [&Path; 2] = [&bad, &good];
    let done = base.command("run", &files).args(["--device", "cpu", "--keep-going"]).finish().expect_code(1);
    assert!(done.stderr.contains("node 5"), "{}", done.stderr);
    assert_eq!(base.outputs(), ["before_00001_.png", "inverted_00001_.png", "plain_00001_.png"]);
}

/// The name of a file that the editor's camera took says nothing of its content.
#[test]
fn what_a_camera_took_is_read_again_every_time() {
    let base = Base::new();
    let shot = json!({ "image": common::PICTURE, "width": 0, "height": 0, "capture_on_queue": true });
    let graph = json!({
        "1": {"class_type": "WebcamCapture", "inputs": shot},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    });
    let file = base.write_json("camera.json", &graph);
    let done = base.command("run", &[&file, &file]).args(["--device", "cpu", "--json"]).finish().expect_code(0);
    assert_eq!(called(&done), ["1", "2", "1", "2"]);
}
