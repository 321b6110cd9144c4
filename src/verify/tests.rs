//! A node whose arithmetic changes is found and named, which takes a class that does so: one of these tests alone.

#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::path::Path;

use clap::Parser;
use redraft_engine::Node;
use redraft_engine::cx::{Cancel, Cx};
use redraft_engine::node::{Registry, Run};
use redraft_nodes::values::Image;
use serde_json::json;

use super::Stand;
use super::verdict::{CaseOutcome, Verdict};
use crate::args::{Changes, Cli, Command};
use crate::bench::Bench;
use crate::compare::cause::CauseKind;
use crate::worker::Line;
use crate::{directories, record, session};

thread_local! {
    static DRIFT: Cell<f64> = const { Cell::new(0.0) };
}

/// Halves a picture, and adds what the test says.
#[derive(Node)]
#[node(category = "tests")]
struct TestDriftingHalf {
    image: Image,
}

impl Run for TestDriftingHalf {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(Image(self.image.0 * 0.5 + DRIFT.get()))
    }
}

/// The command line's arguments after `redraft`.
fn command(args: &[&str]) -> Command {
    Cli::try_parse_from(std::iter::once("redraft").chain(args.iter().copied())).unwrap().command
}

fn record(args: &[&str]) {
    let Command::Record(args) = command(args) else { panic!("another command") };
    record::all(&args, &Line::unheard(), &Cancel::default(), &|_| {}).unwrap();
}

fn verify(base: &str, case: &Path) -> Verdict {
    let Command::Verify(args) = command(&["verify", "x", "--device", "cpu", "--base-directory", base]) else {
        panic!("another command");
    };
    let registry = Registry::linked().unwrap();
    let device = session::device(&args.compute).unwrap();
    let bench = Bench::open(directories::folders(&args.directories).unwrap(), device).unwrap();
    let mut stand = Stand { registry: &registry, bench, changes: &Changes::default(), substitutes: &[] };
    stand.judge(case, &Line::unheard(), &Cancel::default()).0
}

#[test]
fn a_node_whose_arithmetic_changes_is_named_with_place_and_size() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().to_str().unwrap();
    let node = |class: &str, inputs: serde_json::Value| json!({ "class_type": class, "inputs": inputs });
    let workflow = json!({
        "1": node("EmptyImage", json!({ "width": 16, "height": 8, "batch_size": 1, "color": 0x40_80_c0 })),
        "2": node("ImageInvert", json!({ "image": ["1", 0] })),
        "3": node("TestDriftingHalf", json!({ "image": ["2", 0] })),
        "4": node("ImageInvert", json!({ "image": ["3", 0] })),
        "5": node("SaveImage", json!({ "images": ["4", 0], "filename_prefix": "x" })),
    });
    let (file, case) = (dir.path().join("w.json"), dir.path().join("case"));
    fs_err::write(&file, workflow.to_string()).unwrap();
    let [file, out] = [&file, &case].map(|path| path.to_str().unwrap());
    let nodes = ["--node", "1", "--node", "2", "--node", "3", "--node", "4", "--node", "5"];
    record(&[&["record", file, "--out", out, "--device", "cpu", "--base-directory", base][..], &nodes].concat());

    let verdict = verify(base, &case);
    assert_eq!(verdict.outcome, CaseOutcome::Passed);
    assert!(verdict.is_equal());

    DRIFT.set(1e-3);
    let verdict = verify(base, &case);
    DRIFT.set(0.0);
    let difference = verdict.difference.unwrap();
    assert_eq!((&difference["node"], &difference["class_type"]), (&json!("3"), &json!("TestDriftingHalf")));
    assert_eq!((&difference["slot"], &difference["position"].as_array().map(Vec::len)), (&json!(0), &Some(4)));
    let size = difference["difference"].as_f64().unwrap();
    assert!((size - 1e-3).abs() < 1e-6, "{size}");
    let cause = verdict.cause.unwrap();
    assert_eq!(cause.kind, CauseKind::Numerics);
    assert!(cause.words.starts_with("what comes in is equal"), "{}", cause.words);
}
