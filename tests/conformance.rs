//! `redraft verify` on cases that pass, differ, cannot be compared, or need what is not there. (`make conformance` runs it on
//! ComfyUI's recorded outputs.)

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::graph::Graph;
use common::tensors::Tensors;
use common::{Base, CHECKPOINT};
use redraft_engine::node::Registry;
use redraft_engine::schema::Schemas;
use redraft_engine::stock::Stock;
use redraft_nodes as _;
use serde_json::json;

/// How many passed and how many failed, which the last line begins and ends with.
fn counts(stdout: &str) -> (usize, usize) {
    let line = stdout.lines().last().unwrap_or_default();
    let passed = line.split_once(" passed, ").map(|(count, _)| count);
    let failed = line.strip_suffix(" failed").and_then(|line| line.rsplit(' ').next());
    let number = |count: Option<&str>| count.and_then(|count| count.parse().ok());
    number(passed).zip(number(failed)).unwrap_or_else(|| panic!("the last line is {line:?}"))
}

/// A case recorded by `redraft run --dump` itself, so that these tests need nothing from outside.
fn recorded(base: &Base, name: &str) -> PathBuf {
    let mut graph = Graph::saved(2);
    graph.0.shift_remove("9");
    let prompt = base.write_json(&format!("cases/{name}/prompt.json"), &graph.json());
    graph.node("9", "PreviewImage", json!({ "images": ["8", 0] }));
    let run = base.write_json("record.json", &graph.json());
    let folder = prompt.parent().unwrap().to_owned();
    base.run(&run).arg("--dump").arg(folder.join("expected.safetensors")).finish().expect_code(0);
    fs::write(folder.join("case.json"), json!({ "tolerance": 1e-4 }).to_string()).unwrap();
    folder
}

/// Adds to the first value of a tensor that a case expects.
fn tamper(folder: &Path, name: &str, by: f32) {
    let path = folder.join("expected.safetensors");
    let mut tensors = Tensors::read(&path);
    let value = tensors.floats(name)[0] + by;
    tensors.0[name].bytes[..4].copy_from_slice(&value.to_le_bytes());
    tensors.write(&path);
}

#[test]
fn a_wrong_expectation_is_found_where_it_first_differs() {
    let base = Base::new();
    recorded(&base, "good");
    let bad = recorded(&base, "bad");
    // The decoded picture, and what it was decoded from: the sampler comes first.
    tamper(&bad, "8/0", 1000.0);
    tamper(&bad, "16/0/samples", 1000.0);
    let cases = base.path("cases");
    let verify = || base.command("verify", &[&cases]).args(["--device", "cpu"]);

    let done = verify().arg("--junit").arg(base.path("junit.xml")).finish().expect_code(1);
    assert_eq!(counts(&done.stdout), (1, 1));
    let line = done.stdout.lines().find(|line| line.contains("/bad: ")).expect("the case is named");
    for word in ["node 16 (KSampler), slot 0 (samples)", "largest difference", "tolerance 1.0e-4"] {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
    assert!(!done.stdout.contains("/good"), "what passed is not worth a line: {}", done.stdout);
    assert_junit(&fs::read_to_string(base.path("junit.xml")).unwrap());

    let done = verify().arg("--json").finish().expect_code(1);
    let verdicts = done.events();
    assert_eq!(verdicts.len(), 3);
    assert_eq!((&verdicts[2]["counts"]["passed"], &verdicts[2]["counts"]["failed"]), (&json!(1), &json!(1)));
    assert_eq!((&verdicts[0]["passed"], &verdicts[1]["passed"]), (&json!(false), &json!(true)));
    let first = &verdicts[0]["first_difference"];
    assert_eq!(first["key"], "16/0/samples");
    assert_eq!(first["tolerance"], 1e-4);
    assert!(first["difference"].as_f64().unwrap() > 0.5, "{first}");
    assert!(verdicts[1]["closeness"].as_f64().unwrap() < 1.0);
}

#[test]
fn a_known_difference_is_told_apart_from_a_failure() {
    let base = Base::new();
    let case = recorded(&base, "off");
    tamper(&case, "8/0", 0.5);
    let known = |size: f64| {
        let list = format!("[[difference]]\ncase = 'cases/off'\nsize = {size}\nreason = 'it was tampered with'\n");
        base.write("known.toml", list)
    };
    let verify = |list: &Path| {
        base.command("verify", &[&base.path("cases")]).args(["--device", "cpu", "--known-differences"]).arg(list)
    };
    let done = verify(&known(0.5)).finish().expect_code(0);
    assert!(
        done.stdout.contains("differs as known (node 8 (VAEDecode), slot 0: largest difference"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.ends_with("0 passed, 1 differ as known, 0 failed\n"), "{}", done.stdout);
    let done = verify(&known(0.1)).finish().expect_code(1);
    assert!(done.stdout.contains("more than is known of it (it was tampered with)"), "{}", done.stdout);

    tamper(&case, "8/0", -0.5);
    let done = verify(&known(0.5)).finish().expect_code(0);
    assert!(done.stdout.contains("does not differ; take it off the list"), "{}", done.stdout);
    let done = verify(&base.write("bad.toml", "[[difference]]\ncase = 'x'\n")).finish().expect_code(2);
    assert!(done.stderr.contains("bad.toml"), "{}", done.stderr);
}

/// What a case needs and redraft lacks is told apart from a failure, by what the engine itself says of it.
#[test]
fn what_is_not_there_yet_is_no_failure() {
    let base = Base::new();
    let good = recorded(&base, "good");
    let copied = |name: &str, graph: &Graph| {
        let prompt = base.write_json(&format!("cases/{name}/prompt.json"), &graph.json());
        for file in ["case.json", "expected.safetensors"] {
            fs::copy(good.join(file), prompt.with_file_name(file)).unwrap();
        }
    };
    let checkpoint = |name: &str| {
        let mut graph = Graph::saved(2);
        graph.node("4", "CheckpointLoaderSimple", json!({ "ckpt_name": name }));
        graph
    };
    // A class of ComfyUI's that cannot run here, and a model of a family that is not supported.
    let registry = Registry::linked().unwrap();
    let needs_nothing = |class: &&str| Stock.schema(class).unwrap().inputs.iter().all(|input| input.optional);
    let mut lacking = Stock::names().into_iter().filter(|class| registry.class(class).is_none());
    let class = lacking.find(needs_nothing).expect("some are not there yet");
    let mut graph = Graph::saved(2);
    graph.node("99", class, json!({}));
    copied("class", &graph);
    let mut motion = Tensors::read(&base.path("models/checkpoints").join(CHECKPOINT));
    motion.0.truncate(1);
    let tensor = motion.0.pop().unwrap().1;
    motion.0.insert("down_blocks.0.motion_modules.0.weight".to_owned(), tensor);
    motion.write(&base.path("models/checkpoints/motion.safetensors"));
    copied("family", &checkpoint("motion.safetensors"));

    let verify = || base.command("verify", &[&base.path("cases")]).args(["--device", "cpu"]).finish();
    let done = verify().expect_code(3);
    assert!(done.stdout.contains(&format!("/class: not there yet: node 99 ({class})")), "{}", done.stdout);
    assert!(done.stdout.contains("/family: not there yet: node 4 (CheckpointLoaderSimple)"), "{}", done.stdout);
    assert!(
        done.stdout.ends_with("1 passed, 1 of them equal in every bit, 2 not there yet, 0 failed\n"),
        "{}",
        done.stdout
    );

    // A model that is missing is counted apart from both.
    copied("file", &checkpoint("nowhere.safetensors"));
    let done = verify().expect_code(3);
    assert!(
        done.stdout.contains("/file: missing: node 4 (CheckpointLoaderSimple), input 'ckpt_name'"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.ends_with(", 2 not there yet, 1 missing, 0 failed\n"), "{}", done.stdout);
}

/// One suite of two cases, one of which failed; every tag closed.
fn assert_junit(xml: &str) {
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"), "{xml}");
    let mut open = Vec::new();
    let mut seen = Vec::new();
    for tag in xml.split('<').skip(1).filter(|tag| !tag.starts_with('?')) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{xml}");
            continue;
        }
        let name = tag.split([' ', '/', '\n']).next().unwrap();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        seen.push(name);
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    assert_eq!(seen, ["testsuites", "testsuite", "testcase", "failure", "testcase"], "{xml}");
    assert!(xml.contains("tests=\"2\" failures=\"1\" errors=\"0\""), "{xml}");
    assert!(xml.contains("node 16 (KSampler), slot 0 (samples)"), "{xml}");
}

#[test]
fn cases_that_cannot_be_compared_are_said_to_be_so() {
    let base = Base::new();
    let done = base.command("verify", &[&base.path("models")]).finish().expect_code(2);
    assert!(done.stderr.contains("there is no case below"), "{}", done.stderr);
    let done = base.command("verify", &[&base.path("nowhere")]).finish().expect_code(2);
    assert!(done.stderr.contains("nowhere"), "{}", done.stderr);

    let done = base.command("verify", &[&base.path("models")]).arg("--junit").arg(base.path("nowhere/x.xml"));
    let done = done.finish().expect_code(2);
    assert!(done.stderr.contains("--junit: there is no folder"), "{}", done.stderr);

    // Each of these fails alone, and the others are still compared.
    let good = recorded(&base, "good");
    for name in ["no-workflow", "no-tolerance", "no-expectation", "cut", "unknown-class"] {
        let folder = base.path("cases").join(name);
        fs::create_dir(&folder).unwrap();
        for file in ["prompt.json", "case.json", "expected.safetensors"] {
            fs::copy(good.join(file), folder.join(file)).unwrap();
        }
    }
    fs::remove_file(base.path("cases/no-workflow/prompt.json")).unwrap();
    base.write("cases/no-tolerance/case.json", "{}");
    fs::remove_file(base.path("cases/no-expectation/expected.safetensors")).unwrap();
    let whole = fs::read(good.join("expected.safetensors")).unwrap();
    base.write("cases/cut/expected.safetensors", &whole[..whole.len() / 2]);
    base.write("cases/unknown-class/prompt.json", r#"{"1": {"class_type": "NoSuch", "inputs": {}}}"#);

    let done = base.command("verify", &[&base.path("cases")]).args(["--device", "cpu"]).finish().expect_code(1);
    assert_eq!(counts(&done.stdout), (1, 5));
    for (case, words) in [
        ("no-workflow", "a case needs a prompt.json or a workflow.json"),
        ("no-tolerance", "case.json has no tolerance"),
        ("no-expectation", "a case needs an expected.safetensors"),
        ("cut", "truncated or damaged"),
        ("unknown-class", "there is no node class NoSuch"),
    ] {
        let line = done.stdout.lines().find(|line| line.contains(&format!("/{case}: "))).expect(case);
        assert!(line.contains(words), "{line}");
    }
}
