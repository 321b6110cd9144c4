//! Regression testing of workflows: `redraft record`, `redraft verify` on what it made, and `redraft diff`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::graph::Graph;
use common::tensors::Tensors;
use common::{Base, CHECKPOINT, Done, PICTURE, Redraft};
use serde_json::{Value as Json, json};

/// Image2image with the tiny checkpoint, two steps, its sampler titled.
fn workflow() -> Graph {
    let mut graph = Graph::saved(2);
    graph.0["16"]["_meta"] = json!({ "title": "draw over it" });
    graph
}

/// A base directory with a case, recorded of a workflow.
struct Recorded {
    base: Base,
    case: PathBuf,
}

impl Recorded {
    fn new() -> Self {
        Self::of(&workflow(), &[])
    }

    fn of(graph: &Graph, more: &[&str]) -> Self {
        let base = Base::new();
        let (file, case) = (base.write_json("w.json", &graph.json()), base.path("cases/one"));
        let done = record(&base, &file, &case).args(more).finish().expect_code(0);
        assert_eq!(done.stdout, format!("{}\n", case.display()));
        Self { base, case }
    }

    fn verify(&self) -> Redraft {
        verify(&self.base)
    }

    fn case_json(&self) -> Json {
        serde_json::from_slice(&fs::read(self.case.join("case.json")).unwrap()).unwrap()
    }
}

fn record(base: &Base, file: &Path, out: &Path) -> Redraft {
    base.command("record", &[file]).args(["--device", "cpu", "--out"]).arg(out)
}

fn verify(base: &Base) -> Redraft {
    base.command("verify", &[&base.path("cases")]).args(["--device", "cpu"])
}

fn diff(base: &Base, a: &Path, b: &Path) -> Redraft {
    base.command("diff", &[a, b]).args(["--device", "cpu"])
}

/// The one verdict of `verify --json`.
#[track_caller]
fn verdict(done: &Done) -> Json {
    serde_json::from_str(done.stdout.lines().next().unwrap()).unwrap()
}

#[track_caller]
fn assert_has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

/// Adds to a value of an expected tensor.
fn tamper(case: &Path, name: &str, at: usize, by: f32) {
    let path = case.join("expected.safetensors");
    let mut tensors = Tensors::read(&path);
    let value = tensors.floats(name)[at] + by;
    tensors.0[name].bytes[4 * at..4 * at + 4].copy_from_slice(&value.to_le_bytes());
    tensors.write(&path);
}

#[test]
fn what_is_recorded_is_verified() {
    let recorded = Recorded::new();
    let case = recorded.case_json();
    let (tolerance, largest) = (case["tolerance"].as_f64().unwrap(), case["measured"]["largest"].as_f64().unwrap());
    assert!((1e-5..1e-2).contains(&tolerance), "{tolerance}");
    assert!(tolerance >= largest, "{case}");
    // What enters SaveImage, and what the sampler gives; the outputs of no other node.
    let names: Vec<_> = Tensors::read(&recorded.case.join("expected.safetensors")).0.into_keys().collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.contains(&"8/0".to_owned()) && names.contains(&"16/0/samples".to_owned()), "{names:?}");
    assert_eq!(case["recorded"]["device"], "cpu");
    assert_eq!(case["models"].as_array().unwrap().len(), 2, "{case}");
    assert_eq!(case["models"][0]["name"], CHECKPOINT);
    assert!(recorded.case.join("input").join(PICTURE).is_file());
    assert!(recorded.case.join(case["saved"][0]["file"].as_str().unwrap()).is_file());
    // Neither the recording nor the check leaves anything in the base directory, and the case holds its pictures itself.
    assert!(recorded.base.outputs().is_empty());
    fs::remove_file(recorded.base.path("input").join(PICTURE)).unwrap();
    let done = recorded.verify().finish().expect_code(0);
    assert!(done.stdout.ends_with("1 passed, 1 of them equal in every bit, 0 failed\n"), "{}", done.stdout);
    // Another number of threads rounds otherwise, and no more than was measured allows.
    let mut command = recorded.verify().into_command();
    let other = command.env("OMP_NUM_THREADS", "2").output().unwrap();
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stdout));
}

#[test]
fn a_changed_parameter_is_named_at_its_node_and_in_front_of_it() {
    let recorded = Recorded::new();
    let done = recorded.verify().args(["--set", "draw over it.cfg=7.5"]).finish().expect_code(1);
    let line = done.stdout.lines().next().unwrap();
    let words =
        ["node 16 (KSampler \"draw over it\"), slot 0 (samples): largest difference", " at [0, ", ", tolerance "];
    assert_has(line, &words);
    assert_has(line, &["its parameters were changed: cfg is 7.5 and was 8.0"]);
    let done = recorded.verify().args(["--json", "--set", "6.text=a dog"]).finish().expect_code(1);
    let verdict = verdict(&done);
    let first = &verdict["first_difference"];
    assert_eq!((&first["node"], &first["class_type"], &first["slot"]), (&json!("16"), &json!("KSampler"), &json!(0)));
    assert_eq!(first["position"].as_array().unwrap().len(), 4);
    assert_eq!(verdict["cause"]["kind"], "inputs");
    let words = verdict["cause"]["words"].as_str().unwrap();
    assert!(words.starts_with("node 6 (CLIPTextEncode): text is \"a dog\" and was "), "{words}");
}

#[test]
fn a_workflow_that_was_edited_by_hand_is_told_of() {
    let recorded = Recorded::new();
    let prompt = recorded.case.join("prompt.json");
    let text = fs::read_to_string(&prompt).unwrap();
    // Spaces are no change.
    fs::write(&prompt, text.replace("\n", " ")).unwrap();
    recorded.verify().finish().expect_code(0);
    fs::write(&prompt, text.replace("\"cfg\": 8.0", "\"cfg\": 7.0")).unwrap();
    let done = recorded.verify().finish().expect_code(1);
    assert_has(&done.stdout, &["its parameters were changed: the case's workflow was edited after it was recorded"]);
}

#[test]
fn a_changed_model_file_is_named() {
    let recorded = Recorded::new();
    let checkpoint = recorded.base.path("models/checkpoints").join(CHECKPOINT);
    let mut tensors = Tensors::read(&checkpoint);
    tensors.zero("model.diffusion_model.out.2.bias");
    // The file is a link to the one that all tests share.
    fs::remove_file(&checkpoint).unwrap();
    tensors.write(&checkpoint);
    let done = recorded.verify().args(["--json", "--set", "16.cfg=7.5"]).finish().expect_code(1);
    let verdict = verdict(&done);
    assert_eq!(verdict["cause"]["kind"], "model");
    let words = verdict["cause"]["words"].as_str().unwrap();
    assert_has(words, &["node 4 (CheckpointLoaderSimple): checkpoints tiny.safetensors is another file", "BLAKE3"]);
}

#[test]
fn a_changed_figure_is_named_with_its_place_and_size() {
    let recorded = Recorded::of(&workflow(), &["--node", "12", "--node", "draw over it", "--node", "VAEDecode"]);
    let samples = Tensors::read(&recorded.case.join("expected.safetensors")).floats("12/0/samples");
    let scale = samples.iter().fold(1f32, |most, value| most.max(value.abs()));
    // The latent is 1 × 4 × 8 × 12.
    tamper(&recorded.case, "12/0/samples", 2 * 96 + 3 * 12 + 5, 1e-2 * scale);
    let done = recorded.verify().arg("--json").finish().expect_code(1);
    let verdict = verdict(&done);
    let first = &verdict["first_difference"];
    assert_eq!((&first["key"], &first["position"]), (&json!("12/0/samples"), &json!([0, 2, 3, 5])));
    assert!((first["difference"].as_f64().unwrap() - 1e-2).abs() < 2e-3, "{first}");
    assert_eq!(verdict["cause"]["kind"], "numerics");
    assert_has(verdict["cause"]["words"].as_str().unwrap(), &["nothing was compared: node 13 (LoadImage)"]);
}

#[test]
fn missing_files_are_counted_apart() {
    let recorded = Recorded::new();
    fs::remove_file(recorded.base.path("models/checkpoints").join(CHECKPOINT)).unwrap();
    let done = recorded.verify().arg("--junit").arg(recorded.base.path("j.xml")).finish().expect_code(3);
    assert_has(
        &done.stdout,
        &["cases/one: missing: node 4 (CheckpointLoaderSimple)", "0 passed, 1 missing, 0 failed\n"],
    );
    assert_has(&fs::read_to_string(recorded.base.path("j.xml")).unwrap(), &["<skipped message=\"missing: node 4"]);
    let done = recorded.verify().arg("--json").finish().expect_code(3);
    assert_has(verdict(&done)["missing"].as_str().unwrap(), &["tiny.safetensors"]);
    // The stand-in that the command names is used, and told of.
    fs::copy(recorded.base.path("models/vae/tiny-vae.safetensors"), recorded.base.path("models/vae/x.safetensors"))
        .unwrap();
    fs::remove_file(recorded.base.path("models/vae/tiny-vae.safetensors")).unwrap();
    let substitute = ["--substitute", "tiny-vae*=x.safetensors"];
    let done = recorded.verify().args(substitute).finish().expect_code(3);
    assert!(!done.stdout.contains("tiny-vae"), "{}", done.stdout);
}

#[test]
fn accepted_results_are_expected_from_then_on() {
    let recorded = Recorded::new();
    let before = recorded.case_json();
    let done = recorded.verify().args(["--accept", "--set", "16.cfg=7.5"]).finish().expect_code(0);
    let words = [
        "cases/one: accepted: 3 of 3 outputs are others now, 3 of them beyond the tolerance: node 16 (KSampler",
        "node 8 (VAEDecode), slot 0: largest difference",
        "0 passed, 1 accepted, 0 failed\n",
    ];
    assert_has(&done.stdout, &words);
    let done = recorded.verify().finish().expect_code(0);
    assert_has(&done.stdout, &["1 passed, 1 of them equal in every bit, 0 failed\n"]);
    let after = recorded.case_json();
    assert_eq!((&before["tolerance"], &before["models"]), (&after["tolerance"], &after["models"]));
    assert_ne!(before["recorded"]["prompt"], after["recorded"]["prompt"]);
    let prompt: Json = serde_json::from_slice(&fs::read(recorded.case.join("prompt.json")).unwrap()).unwrap();
    assert_eq!(prompt["16"]["inputs"]["cfg"], 7.5);
    // An error is not accepted.
    fs::remove_file(recorded.base.path("models/vae/tiny-vae.safetensors")).unwrap();
    let tensors = fs::read(recorded.case.join("expected.safetensors")).unwrap();
    recorded.verify().arg("--accept").finish().expect_code(3);
    assert_eq!(fs::read(recorded.case.join("expected.safetensors")).unwrap(), tensors);
}

#[test]
fn a_pattern_chooses_cases() {
    let recorded = Recorded::new();
    let other = recorded.base.path("cases/other/two");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("case.json"), "{}").unwrap();
    let counts = |pattern: &str, code: i32| {
        let done = recorded.verify().args(["-k", pattern]).finish().expect_code(code);
        done.stdout.lines().last().unwrap().to_owned()
    };
    assert_eq!(counts("ONE", 0), "1 passed, 1 of them equal in every bit, 0 failed");
    assert_eq!(counts("cases/*/t?o", 1), "0 passed, 1 failed");
    let done = recorded.verify().args(["-k", "three"]).finish().expect_code(2);
    assert_has(&done.stderr, &["-k 'three': none of the 2 cases has this in its path; give another pattern"]);
}

#[test]
fn the_report_says_everything_and_needs_nothing() {
    let mut graph = workflow();
    graph.0["6"]["inputs"]["text"] = json!("<script>alert('http://example.org')</script>");
    graph.0["16"]["_meta"] = json!({ "title": "<img src=x>" });
    let recorded = Recorded::of(&graph, &[]);
    record(&recorded.base, &recorded.base.path("w.json"), &recorded.base.path("cases/two")).finish().expect_code(0);
    tamper(&recorded.case, "8/0", 5, 0.25);
    let report = recorded.base.path("report.html");
    recorded.verify().arg("--report").arg(&report).finish().expect_code(1);
    let html = fs::read_to_string(&report).unwrap();
    let words = [
        "1 passed, 1 of them equal in every bit, 1 failed",
        "cases/one <span class=\"bad\">differs</span>",
        "node 8 (VAEDecode)",
        "PSNR",
        "SSIM",
        "difference × ",
        "<svg ",
        "absolute difference of 1 of ",
        "Passed (1)",
        "cases/two</b>",
        "prefers-color-scheme: dark",
    ];
    assert_has(&html, &words);
    assert_eq!(html.matches("<figure><img ").count(), 3);
    let done = recorded.verify().arg("--report").arg(&report).args(["--set", "16.cfg=2"]).finish().expect_code(1);
    assert_has(&done.stdout, &["KSampler \"<img src=x>\""]);
    let html = fs::read_to_string(&report).unwrap();
    assert_has(&html, &["&lt;img src=x&gt;", "its parameters were changed: cfg is 2"]);
    for source in html.match_indices("src=").map(|(at, _)| &html[at..]) {
        let own = source.starts_with("src=\"data:image/png;base64,") || source.starts_with("src=x&gt;");
        assert!(own, "{}", &source[..60]);
    }
    for foreign in ["http:", "https:", "<script", "@import", "url(", "<img src=x", "<link"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
}

#[test]
fn several_workflows_are_recorded_side_by_side_and_nothing_is_replaced_unasked() {
    let base = Base::new();
    let files = [base.write_json("a.workflow.json", &workflow().json()), base.write_json("b.json", &workflow().json())];
    let out = base.path("cases");
    let record = || {
        let command = base.command("record", &[&files[0], &files[1]]).args(["--device", "cpu", "--tolerance", "1e-3"]);
        command.arg("--out").arg(&out)
    };
    let done = record().args(["--set", "16.steps=1"]).finish().expect_code(0);
    let expected = format!("{}\n{}\n", out.join("a").display(), out.join("b").display());
    assert_eq!(done.stdout, expected);
    let case: Json = serde_json::from_slice(&fs::read(out.join("b/case.json")).unwrap()).unwrap();
    assert_eq!(case["tolerance"], 1e-3);
    assert!(case.get("measured").is_none());
    // The second workflow is the first once more, and both are complete.
    verify(&base).finish().expect_code(0);
    let done = record().finish().expect_code(2);
    assert_has(&done.stderr, &["cases/a is a case already; --force replaces it"]);
    record().arg("--force").finish().expect_code(0);
    let steps: Json = serde_json::from_slice(&fs::read(out.join("a/prompt.json")).unwrap()).unwrap();
    assert_eq!(steps["16"]["inputs"]["steps"], 2);
    // A folder that is no case stays, whatever is asked.
    let (file, models) = (&files[0], base.path("models"));
    let done = base.command("record", &[file]).arg("--out").arg(&models).arg("--force").finish().expect_code(2);
    assert_has(&done.stderr, &["is there and no case; name a folder that is not there"]);
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// A picture of the output folder comes into the case under a name of its own.
#[test]
fn pictures_of_other_folders_come_along() {
    let base = Base::new();
    fs::rename(base.path("input").join(PICTURE), base.path("output/o.png")).unwrap();
    let graph = workflow().with("13", "image", json!("o.png [output]"));
    let (file, case) = (base.write_json("w.json", &graph.json()), base.path("cases/one"));
    record(&base, &file, &case).args(["--tolerance", "1e-4", "--node", "12"]).finish().expect_code(0);
    fs::remove_file(base.path("output/o.png")).unwrap();
    assert!(case.join("input/from-output/o.png").is_file());
    verify(&base).finish().expect_code(0);
}

#[test]
fn two_workflows_are_compared_as_graphs_and_by_what_they_give() {
    let base = Base::new();
    let a = base.write_json("a.json", &workflow().json());
    let same = base.write_json("same.json", &workflow().json());
    // Other ids, and another cfg.
    let text = workflow().with("16", "cfg", json!(7.5)).json().to_string();
    let text =
        ["16", "8", "4", "6"].iter().fold(text, |text, id| text.replace(&format!("\"{id}\""), &format!("\"{id}0\"")));
    let b = base.write("b.json", text);
    let done = diff(&base, &a, &same).finish().expect_code(0);
    assert_eq!(done.stdout, "both run the same\n");
    let done = diff(&base, &a, &b).finish().expect_code(1);
    assert_eq!(done.stdout, "node 160 (KSampler \"draw over it\") (in A node 16): cfg is 7.5 and was 8.0\n");
    let done = diff(&base, &a, &b).args(["--run", "--json"]).finish().expect_code(1);
    let found: Json = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(found["workflow"]["changed"][0]["changes"][0]["input"], "cfg");
    assert_eq!(found["outputs"]["first_difference"]["node"], "160");
    assert_eq!(found["outputs"]["cause"]["kind"], "parameters");
    let done = diff(&base, &a, &same).arg("--run").finish().expect_code(0);
    assert_has(&done.stdout, &["no output of ", "equal\n"]);
    // What the command line sets is set in B.
    let done = diff(&base, &a, &a).args(["--set", "draw over it.seed=4"]).finish().expect_code(1);
    assert_eq!(done.stdout, "node 16 (KSampler \"draw over it\"): seed is 4 and was 123\n");
    // A node more, in the middle.
    let mut longer = workflow();
    longer.node("20", "ImageInvert", json!({ "image": ["8", 0] }));
    let longer = base.write_json("longer.json", &longer.with("9", "images", json!(["20", 0])).json());
    let done = diff(&base, &a, &longer).finish().expect_code(1);
    let words =
        ["node 20 (ImageInvert): only in B", "images is linked to node 20, slot 0 and was linked to node 8, slot 0"];
    assert_has(&done.stdout, &words);
}

#[test]
fn dumps_and_cases_are_compared_with_runs() {
    let recorded = Recorded::new();
    let base = &recorded.base;
    let (a, b) = (base.path("w.json"), base.write_json("b.json", &workflow().with("16", "seed", json!(5)).json()));
    let dump = |file: &Path, name: &str| {
        let path = base.path(name);
        base.run(file).arg("--dump").arg(&path).finish().expect_code(0);
        path
    };
    let (dump_a, dump_b) = (dump(&a, "a.safetensors"), dump(&b, "b.safetensors"));
    for (before, now) in [(&dump_a, &dump_b), (&recorded.case, &dump_b), (&recorded.case, &b), (&dump_a, &b)] {
        let done = diff(base, before, now).finish().expect_code(1);
        assert_has(
            &done.stdout,
            &["first to part: node 16 (KSampler", "its parameters were changed: seed is 5 and was 123"],
        );
    }
    for (before, now) in [(&dump_a, &dump_a), (&recorded.case, &a), (&a, &recorded.case), (&recorded.case, &dump_a)] {
        diff(base, before, now).finish().expect_code(0);
    }
    // Tensors alone, without a word on what made them.
    let bare = |from: &Path, name: &str| {
        let path = base.path(name);
        Tensors::read(from).write(&path);
        path
    };
    let (bare_a, bare_b) = (bare(&dump_a, "bare-a.safetensors"), bare(&dump_b, "bare-b.safetensors"));
    let done = diff(base, &bare_a, &bare_b).finish().expect_code(1);
    assert_has(&done.stdout, &["first to part: node ", "outputs part"]);
    diff(base, &bare_a, &bare_a).finish().expect_code(0);
    let done = diff(base, &base.path("models"), &a).finish().expect_code(2);
    assert_has(&done.stderr, &["models: is a folder without a case.json; name a case, a workflow or a dump"]);
}

#[test]
fn hostile_cases_are_errors() {
    let recorded = Recorded::of(&workflow(), &["--node", "12"]);
    let case = recorded.case_json();
    let with = |key: &str, value: Json| {
        let mut case = case.clone();
        case[key] = value;
        case.to_string()
    };
    let outside = json!([{ "node": "9", "file": "../../w.json" }]);
    let absolute = json!([{ "node": "9", "file": "/etc/passwd" }]);
    let nested = format!("{{\"tolerance\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (name, text, words) in [
        ("long", with("tolerance", json!("9".repeat(1_000_000))), "case.json has no tolerance"),
        ("nan", "{\"tolerance\": NaN}".to_owned(), "is no JSON object"),
        ("infinite", "{\"tolerance\": 1e999}".to_owned(), "is no JSON object"),
        ("negative", with("tolerance", json!(-1)), "the tolerance in case.json is -1; it must be 0 or more"),
        ("outside", with("saved", outside), "leads out of it"),
        ("absolute", with("saved", absolute), "leads out of it"),
        ("kinds", with("targets", json!({ "a": 1 })), "case.json cannot be used"),
        ("nowhere", with("targets", json!(["99"])), "there is no node 99 in the workflow"),
        ("nested", nested, "is no JSON object"),
        ("empty", String::new(), "is no JSON object"),
    ] {
        let folder = recorded.base.path("cases").join(name);
        fs::create_dir(&folder).unwrap();
        for file in ["prompt.json", "expected.safetensors"] {
            fs::copy(recorded.case.join(file), folder.join(file)).unwrap();
        }
        fs::write(folder.join("case.json"), text).unwrap();
        let done = recorded.verify().args(["-k", name]).finish().expect_code(1);
        assert_has(&done.stdout, &[words]);
        assert!(done.stdout.len() < 2000, "{}", done.stdout);
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        fs::remove_dir_all(folder).unwrap();
    }
    // A picture that is a link out of the case is not read.
    #[cfg(unix)]
    {
        let picture = recorded.case.join("input").join(PICTURE);
        fs::remove_file(&picture).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &picture).unwrap();
        recorded.verify().finish().expect_code(0);
    }
}

/// Runs that never agree cannot be recorded with a measured tolerance.
#[test]
fn what_is_refused_is_said_before_it_runs() {
    let base = Base::new();
    let file = base.write_json("w.json", &workflow().json());
    let out = base.path("cases/one");
    let done = record(&base, &file, &out).args(["--node", "KSampler", "--node", "nobody"]).finish().expect_code(2);
    assert_has(&done.stderr, &["--node 'nobody': no node has this id, title or class"]);
    for wrong in ["NaN", "-1", "inf", "x"] {
        let done = record(&base, &file, &out).arg(format!("--tolerance={wrong}")).finish().expect_code(2);
        assert_has(&done.stderr, &["is no tolerance; write a number such as 1e-4"]);
    }
    // A model on a wire is nothing that can be compared.
    let done = record(&base, &file, &out).args(["--node", "4"]).finish().expect_code(2);
    assert_has(&done.stderr, &["nothing that can be compared leaves the chosen nodes"]);
    assert!(!out.exists());
    let lacking = base.write_json("x.json", &workflow().with("4", "ckpt_name", json!("nowhere.safetensors")).json());
    let done = base.command("record", &[&file, &lacking]).arg("--out").arg(base.path("cases")).finish().expect_code(3);
    assert_has(&done.stderr, &["nowhere.safetensors"]);
    assert!(!base.path("cases/w").exists(), "all are checked before one runs");
}
