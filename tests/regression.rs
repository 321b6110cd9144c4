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

/// Two plain pictures, saved, and figures beside them: quick, and without a model.
fn pictures() -> Graph {
    let mut graph = Graph(Default::default());
    let plain = json!({ "width": 16, "height": 8, "batch_size": 2, "color": 0x40_80_c0 });
    graph.node("1", "EmptyImage", plain);
    graph.node("2", "ImageInvert", json!({ "image": ["1", 0] }));
    graph.node("4", "ImageInvert", json!({ "image": ["2", 0] }));
    graph.node("5", "GetImageSize", json!({ "image": ["4", 0] }));
    graph.node("6", "PrimitiveFloat", json!({ "value": 0.5 }));
    graph.node("9", "SaveImage", json!({ "images": ["4", 0], "filename_prefix": "x" }));
    graph
}

fn read_json(path: &Path) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// All files below a folder, and what they hold.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push((path.clone(), fs::read(path).unwrap())) }
        }
    }
    found.sort();
    found
}

#[cfg(unix)]
#[test]
fn accepting_leaves_alone_what_is_no_file_of_the_case() {
    use std::os::unix::fs::symlink;
    let recorded = Recorded::of(&pictures(), &["--tolerance", "1e-4"]);
    let accept = |color: u32, code: i32| {
        let set = format!("1.color={color}");
        recorded.verify().args(["--accept", "--set", &set]).finish().expect_code(code)
    };
    let readme = recorded.case.join("saved/README");
    fs::write(&readme, "mine").unwrap();
    accept(1, 0);
    assert_eq!(fs::read_to_string(&readme).unwrap(), "mine");
    // A folder outside, to which a link of the case leads.
    let (saved, outside) = (recorded.case.join("saved"), recorded.base.path("outside"));
    fs::rename(&saved, &outside).unwrap();
    symlink(&outside, &saved).unwrap();
    let before = contents(recorded.base.root());
    let done = accept(2, 1);
    assert_has(&done.stdout, &["saved is a symbolic link, and none in a case is followed; put the file itself there"]);
    assert_eq!(contents(recorded.base.root()), before);
    // What goes wrong in the end leaves all as it was, too.
    fs::remove_file(&saved).unwrap();
    fs::rename(&outside, &saved).unwrap();
    let picture = saved.join("02-9.png");
    fs::remove_file(&picture).unwrap();
    fs::create_dir(&picture).unwrap();
    let before = contents(recorded.base.root());
    let done = accept(2, 1);
    assert_has(&done.stdout, &["cannot be accepted: ", "02-9.png", "is a directory"]);
    assert_eq!(contents(recorded.base.root()), before);
    // An input that is a link is neither read nor replaced.
    let recorded = Recorded::of(&workflow(), &["--tolerance", "1e-4", "--node", "12"]);
    let (held, other) = (recorded.case.join("input").join(PICTURE), recorded.base.path("other.png"));
    fs::rename(&held, &other).unwrap();
    symlink(&other, &held).unwrap();
    let before = fs::read(&other).unwrap();
    tamper(&recorded.case, "12/0/samples", 0, 10.0);
    let done = recorded.verify().arg("--accept").finish().expect_code(1);
    assert_has(&done.stdout, &["cannot be accepted: ", "is a symbolic link"]);
    assert_eq!(fs::read(&other).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn recording_anew_replaces_the_case_alone() {
    use std::os::unix::fs::symlink;
    let recorded = Recorded::of(&pictures(), &["--tolerance", "1e-4"]);
    let (base, file) = (&recorded.base, recorded.base.path("w.json"));
    let notes = recorded.case.join("NOTES.md");
    fs::write(&notes, "mine").unwrap();
    let again = |out: &Path, more: &[&str]| {
        base.command("record", &[&file]).args(["--tolerance", "1e-4", "--out"]).arg(out).args(more)
    };
    again(&recorded.case, &["--force", "--node", "5"]).finish().expect_code(0);
    assert_eq!(fs::read_to_string(&notes).unwrap(), "mine");
    let left: Vec<_> = contents(&recorded.case).into_iter().map(|(path, _)| path).collect();
    let expected = ["NOTES.md", "case.json", "expected.json", "prompt.json"];
    assert_eq!(left, expected.map(|name| recorded.case.join(name)));
    recorded.verify().finish().expect_code(0);
    // A link to the case is the case, and one to nowhere is said to be one.
    let link = base.path("link");
    symlink(&recorded.case, &link).unwrap();
    again(&link, &["--force"]).finish().expect_code(0);
    assert!(link.is_symlink() && recorded.case.join("saved").is_dir());
    fs::remove_file(&link).unwrap();
    symlink("nowhere", &link).unwrap();
    let done = again(&link, &["--force"]).finish().expect_code(2);
    assert_has(&done.stderr, &["link is a link that leads nowhere; name another folder"]);
    // The folder that one is in.
    let here = base.path("here");
    fs::create_dir(&here).unwrap();
    again(Path::new("."), &[]).current_dir(&here).finish().expect_code(0);
    verify_at(base, &here).finish().expect_code(0);
    let done = again(Path::new("new/.."), &[]).current_dir(&here).finish().expect_code(2);
    assert_has(&done.stderr, &["is no name of a folder"]);
}

fn verify_at(base: &Base, cases: &Path) -> Redraft {
    base.command("verify", &[cases]).args(["--device", "cpu"])
}

#[test]
fn no_input_of_a_command_is_written_over() {
    let recorded = Recorded::of(&pictures(), &["--tolerance", "1e-4"]);
    let (base, file) = (&recorded.base, recorded.base.path("w.json"));
    let before = contents(base.root());
    let model = base.path("models/vae/tiny-vae.safetensors");
    let with_model = base.path("i2i.json");
    fs::write(&with_model, Graph::saved(1).json().to_string()).unwrap();
    for (workflow, dump) in [(&file, &file), (&with_model, &model)] {
        let done = base.run(workflow).arg("--dump").arg(dump).finish().expect_code(2);
        assert_has(&done.stderr, &["--dump: ", " is read by this command; name another file"]);
    }
    let manifest = format!("--manifest={}", file.display());
    assert_has(&base.run(&file).arg(manifest).finish().expect_code(2).stderr, &["is read by this command"]);
    for option in ["--junit", "--report"] {
        for name in ["case.json", "prompt.json", "saved/01-9.png"] {
            let done = recorded.verify().arg(option).arg(recorded.case.join(name)).finish().expect_code(2);
            assert_has(&done.stderr, &[option, " is a file of the case ", "; name another file"]);
        }
    }
    let known = base.path("known.toml");
    fs::write(&known, "").unwrap();
    let done = recorded.verify().arg("--known-differences").arg(&known).arg("--junit").arg(&known);
    assert_has(&done.finish().expect_code(2).stderr, &["is read by this command"]);
    [known, with_model].iter().for_each(|path| fs::remove_file(path).unwrap());
    assert_eq!(contents(base.root()), before);
}

#[test]
fn what_is_there_besides_is_a_difference() {
    let recorded = Recorded::of(&workflow(), &["--tolerance", "1e-4", "--node", "6"]);
    let path = recorded.case.join("expected.safetensors");
    let mut tensors = Tensors::read(&path);
    assert!(tensors.0.shift_remove("6/0/0/pooled_output").is_some(), "{:?}", tensors.0.keys());
    tensors.write(&path);
    let done = recorded.verify().finish().expect_code(1);
    let words = "node 6 (CLIPTextEncode), slot 0 (0/pooled_output): it is there, and nothing was expected there";
    assert_has(&done.stdout, &[words]);
    let done = diff(&recorded.base, &recorded.case, &recorded.base.path("w.json")).finish().expect_code(1);
    assert_has(&done.stdout, &[words]);
    recorded.verify().arg("--accept").finish().expect_code(0);
    assert!(Tensors::read(&path).0.contains_key("6/0/0/pooled_output"));
    recorded.verify().finish().expect_code(0);

    // A picture more than was saved.
    let recorded = Recorded::of(&pictures(), &["--tolerance", "1e-4"]);
    let mut case = recorded.case_json();
    case["saved"].as_array_mut().unwrap().pop();
    fs::write(recorded.case.join("case.json"), case.to_string()).unwrap();
    let done = recorded.verify().finish().expect_code(1);
    assert_has(&done.stdout, &["node 9 (SaveImage): 2 pictures were saved, and 1 expected"]);
}

#[test]
fn dumps_differ_by_what_only_one_of_them_has() {
    let base = Base::new();
    let (file, dump, more) =
        (base.write_json("w.json", &pictures().json()), base.path("a.safetensors"), base.path("b.safetensors"));
    base.run(&file).arg("--dump").arg(&dump).finish().expect_code(0);
    let (_, header) = safetensors::SafeTensors::read_metadata(&fs::read(&dump).unwrap()).unwrap();
    let texts = header.metadata().clone();
    for added in ["2/0/#1", "2/1"] {
        let mut tensors = Tensors::read(&dump);
        tensors.0.insert(added.to_owned(), tensors.0["2/0"].clone());
        let views = tensors.0.iter().map(|(name, tensor)| {
            (name, safetensors::tensor::TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap())
        });
        safetensors::serialize_to_file(views, texts.clone(), &more).unwrap();
        for (a, b) in [(&dump, &more), (&more, &dump)] {
            let done = diff(&base, a, b).finish().expect_code(1);
            assert_ne!(done.stdout.lines().last(), Some("equal"), "{}", done.stdout);
        }
        diff(&base, &more, &more).finish().expect_code(0);
    }
}

#[test]
fn figures_are_compared_as_what_they_are() {
    let recorded = Recorded::of(&pictures(), &["--tolerance", "1e-2", "--node", "5", "--node", "6"]);
    let path = recorded.case.join("expected.json");
    let expected = read_json(&path);
    assert_eq!((&expected["5/0"], &expected["6/0"]), (&json!(16), &json!(0.5)));
    let with = |key: &str, value: Json| {
        let mut changed = expected.clone();
        changed[key] = value;
        fs::write(&path, changed.to_string()).unwrap();
        recorded.verify()
    };
    let done = with("6/0", json!(0.500_000_1)).finish().expect_code(0);
    assert!(done.stdout.ends_with("\n1 passed, 0 failed\n"), "{}", done.stdout);
    let done = with("6/0", json!(0.6)).finish().expect_code(1);
    assert_has(&done.stdout, &["node 6 (PrimitiveFloat), slot 0: expected 0.6, found 0.5"]);
    // Within a hundredth, and a whole number.
    let graph = pictures().with("1", "width", json!(1000));
    let recorded = Recorded::of(&graph, &["--tolerance", "1e-2", "--node", "5"]);
    let path = recorded.case.join("expected.json");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("1000", "1001")).unwrap();
    let done = recorded.verify().finish().expect_code(1);
    assert_has(&done.stdout, &["node 5 (GetImageSize), slot 0: expected 1001, found 1000"]);
}

#[test]
fn a_case_that_lost_what_it_expects_is_an_error() {
    let recorded = Recorded::of(&pictures(), &["--tolerance", "1e-2", "--node", "5", "--node", "2"]);
    let path = recorded.case.join("expected.json");
    let expected = read_json(&path);
    for (key, value) in [("99/0", json!(null)), ("5/0", json!(null))] {
        let mut changed = expected.clone();
        changed[key] = value;
        fs::write(&path, changed.to_string()).unwrap();
        recorded.verify().finish().expect_code(1);
    }
    let mut changed = expected.clone();
    changed["99/0"] = json!(1);
    fs::write(&path, changed.to_string()).unwrap();
    let done = recorded.verify().arg("--accept").finish().expect_code(1);
    assert_has(
        &done.stdout,
        &["a value of node 99 is expected, which the workflow does not have; record the case anew"],
    );
    fs::remove_file(&path).unwrap();
    let done = recorded.verify().arg("--accept").finish().expect_code(1);
    assert_has(
        &done.stdout,
        &["node 5 (GetImageSize), slot 0: case.json lists it, and neither expected.safetensors nor"],
    );
    let mut case = recorded.case_json();
    case["nodes"][0]["node"] = json!("77");
    fs::write(&path, expected.to_string()).unwrap();
    fs::write(recorded.case.join("case.json"), case.to_string()).unwrap();
    let done = recorded.verify().finish().expect_code(1);
    assert_has(&done.stdout, &["case.json expects something of node 77, which the workflow does not have"]);
}

#[test]
fn what_is_no_number_is_told_of_when_it_is_recorded() {
    let base = Base::new();
    let vae = base.path("models/vae/tiny-vae.safetensors");
    let mut tensors = Tensors::read(&vae);
    let bias = tensors.0.get_mut("decoder.conv_out.bias").unwrap();
    bias.bytes.iter_mut().for_each(|byte| *byte = 0xff);
    fs::remove_file(&vae).unwrap();
    tensors.write(&vae);
    let mut graph = Graph::image2image();
    graph.node("8", "VAEDecode", json!({ "samples": ["12", 0], "vae": ["10", 0] }));
    let file = base.write_json("w.json", &graph.json());
    let out = base.path("cases/one");
    let done = record(&base, &file, &out).args(["--node", "8", "--tolerance", "1e-4"]).finish().expect_code(0);
    assert_has(
        &done.stderr,
        &["warning: ", "node 8 (VAEDecode), slot 0: ", " values are NaN, and expected from now on"],
    );
}

/// What is at hand from the case before is told in another order.
#[test]
fn the_first_node_is_named_also_where_results_are_at_hand() {
    let base = Base::new();
    // Nodes stand in front of those that they need.
    let graph = Graph(pictures().0.into_iter().rev().collect());
    let file = base.write_json("w.json", &graph.json());
    for name in ["a", "b"] {
        let out = base.path("cases").join(name);
        let nodes = ["--tolerance", "1e-4", "--node", "4", "--node", "2"];
        record(&base, &file, &out).args(nodes).finish().expect_code(0);
    }
    let case = base.path("cases/b");
    ["4/0", "2/0"].iter().for_each(|key| tamper(&case, key, 0, 0.5));
    let done = verify(&base).finish().expect_code(1);
    assert_has(&done.stdout, &["cases/b: node 2 (ImageInvert), slot 0: "]);
}

#[test]
fn a_model_of_another_folder_is_told_of() {
    let recorded = Recorded::of(&workflow(), &["--tolerance", "1e-4", "--node", "12"]);
    let [here, there] =
        ["tiny-vae.safetensors", "sub/tiny-vae.safetensors"].map(|name| recorded.base.path("models/vae").join(name));
    let mut tensors = Tensors::read(&here);
    fs::create_dir(there.parent().unwrap()).unwrap();
    fs::rename(&here, &there).unwrap();
    // The same file elsewhere is the same file.
    let done = recorded.verify().finish().expect_code(0);
    assert!(!done.stdout.contains("used in place"), "{}", done.stdout);
    fs::remove_file(&there).unwrap();
    tensors.zero("encoder.conv_in.bias");
    tensors.write(&there);
    let done = recorded.verify().finish().expect_code(1);
    let words = "vae sub/tiny-vae.safetensors is used in place of tiny-vae.safetensors, which is not there, and is another file";
    assert_has(&done.stdout, &["a model file was changed: ", words]);
    let done = recorded.verify().arg("--strict-names").finish().expect_code(3);
    assert_has(&done.stdout, &["cases/one: missing: ", "tiny-vae.safetensors"]);
}

#[test]
fn every_line_of_json_is_json() {
    let mut graph = pictures();
    graph.0["2"]["_meta"] = json!({ "title": "a\u{1b}[2J\u{9b}b" });
    let recorded = Recorded::of(&graph, &["--tolerance", "1e-4", "--node", "2"]);
    let done = recorded.verify().args(["--json", "--set", "1.color=1"]).finish().expect_code(1);
    let lines = done.events();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["first_difference"]["title"], "a\u{1b}[2J\u{9b}b");
    assert_eq!((&lines[1]["counts"]["passed"], &lines[1]["counts"]["failed"]), (&json!(0), &json!(1)));
    assert!(!done.stdout.contains(['\u{1b}', '\u{9b}']), "{}", done.stdout);
}

#[test]
fn folders_of_pictures_come_along_and_are_accepted() {
    let base = Base::new();
    let picture = fs::read(base.path("input").join(PICTURE)).unwrap();
    for folder in ["set", "set/3_more", "other"] {
        base.write(&format!("input/{folder}/a.png"), &picture);
    }
    base.write("input/set/a.txt", "a cat");
    let mut graph = Graph(Default::default());
    graph.node("1", "LoadImageTextDataSetFromFolder", json!({ "folder": "set" }));
    let (file, case) = (base.write_json("w.json", &graph.json()), base.path("cases/one"));
    record(&base, &file, &case).args(["--node", "1", "--tolerance", "1e-4"]).finish().expect_code(0);
    let held = |name: &str| case.join("input").join(name).is_file();
    assert!(held("set/a.png") && held("set/a.txt") && held("set/3_more/a.png"));
    // Another folder of that name is none of the case's business, and nothing that others put into it.
    base.write("input/set/b.png", &picture);
    fs::write(case.join("input/set/README"), "").unwrap();
    fs::write(case.join("input/set/c.png"), &picture).unwrap();
    let done = verify(&base).finish().expect_code(0);
    assert_has(&done.stdout, &["1 passed, 1 of them equal in every bit"]);
    verify(&base).args(["--accept", "--set", "1.folder=other"]).finish().expect_code(0);
    assert!(held("other/a.png") && !held("set/a.png") && held("set/README"));
    fs::remove_dir_all(base.path("input/other")).unwrap();
    fs::create_dir(base.path("input/other")).unwrap();
    verify(&base).finish().expect_code(0);
}

/// A run that takes long enough to be interfered with, and a folder for what is temporary.
#[cfg(unix)]
fn slow(base: &Base, expand: u32) -> (PathBuf, PathBuf) {
    let mut graph = Graph(Default::default());
    graph.node("1", "SolidMask", json!({ "value": 0.5, "width": 2048, "height": 2048 }));
    graph.node("2", "GrowMask", json!({ "mask": ["1", 0], "expand": expand, "tapered_corners": true }));
    let temporary = base.path("tmp");
    fs::create_dir_all(&temporary).unwrap();
    (base.write_json("w.json", &graph.json()), temporary)
}

/// Starts a command, and waits until the folder that it saves into is there.
#[cfg(unix)]
fn begun(command: Redraft, temporary: &Path) -> common::Running {
    let mut command = command.into_command();
    command.env("TMPDIR", temporary);
    let running = Redraft::from(command).start();
    let start = std::time::Instant::now();
    while fs::read_dir(temporary).unwrap().next().is_none() {
        assert!(start.elapsed() < std::time::Duration::from_secs(60));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    running
}

#[cfg(unix)]
#[test]
fn a_terminated_recording_leaves_nothing() {
    let base = Base::new();
    let (file, temporary) = slow(&base, 16_000);
    let out = base.path("cases/one");
    let running = begun(record(&base, &file, &out).args(["--node", "2", "--tolerance", "1"]), &temporary);
    std::thread::sleep(std::time::Duration::from_millis(300));
    std::process::Command::new("kill").arg(running.child.id().to_string()).status().unwrap();
    running.finish().expect_code(130);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(!out.exists());
}

#[cfg(unix)]
#[test]
fn a_verdict_is_said_though_its_report_cannot_be_written() {
    let base = Base::new();
    let (file, temporary) = slow(&base, 20);
    let out = base.path("cases/one");
    record(&base, &file, &out).args(["--node", "2", "--tolerance", "1"]).finish().expect_code(0);
    for option in ["--junit", "--report"] {
        let reports = base.path("reports");
        fs::create_dir(&reports).unwrap();
        let running = begun(verify(&base).arg(option).arg(reports.join("x")), &temporary);
        fs::remove_dir_all(&reports).unwrap();
        let done = running.finish().expect_code(1);
        assert!(done.stdout.ends_with("1 passed, 1 of them equal in every bit, 0 failed\n"), "{}", done.stdout);
        assert_has(&done.stderr, &[option, " cannot be written: "]);
    }
}
