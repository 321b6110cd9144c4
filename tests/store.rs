//! Results that last from process to process, by the command.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::graph::Graph;
use common::{Base, Done, Redraft};
use serde_json::Value as Json;

/// A base directory with a cache directory in it.
struct Place {
    base: Base,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let base = Base::new();
        let file = base.write_json("workflow.json", &Graph::saved(2).json());
        Self { base, file }
    }

    fn cache(&self) -> PathBuf {
        self.base.path("cache")
    }

    fn command(&self, sets: &[&str]) -> Redraft {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        self.base.run(&self.file).arg("--json").arg("--cache-directory").arg(self.cache()).args(sets)
    }

    fn run(&self, sets: &[&str]) -> Vec<String> {
        called(&self.command(sets).finish().expect_code(0))
    }

    fn results(&self) -> Vec<PathBuf> {
        let mut results = files(&self.cache().join("results"));
        results.sort();
        results
    }

    fn cache_command(&self, args: &[&str]) -> Redraft {
        Redraft::new().arg("cache").args(args).arg("--cache-directory").arg(self.cache())
    }
}

fn called(done: &Done) -> Vec<String> {
    let ids = done.events_of("executing").into_iter().map(|data| data["node"].as_str().unwrap().to_owned());
    let mut ids: Vec<String> = ids.collect();
    ids.sort_by_key(|id| id.parse::<u32>().unwrap());
    ids
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

fn pixels(base: &Base, name: &str) -> Vec<u8> {
    image::open(base.path("output").join(name)).unwrap().into_rgb8().into_raw()
}

#[test]
fn a_second_process_opens_no_model() {
    let place = Place::new();
    assert_eq!(place.run(&[]), ["4", "6", "7", "8", "9", "10", "12", "13", "16"]);
    // Only what saves a file runs again, under the name that a fresh run would give.
    assert_eq!(place.run(&[]), ["9"]);
    assert_eq!(place.base.outputs(), ["ComfyUI_00001_.png", "ComfyUI_00002_.png"]);
    assert_eq!(pixels(&place.base, "ComfyUI_00001_.png"), pixels(&place.base, "ComfyUI_00002_.png"));
    // Another seed takes the encoded prompts and the encoded picture; another prompt the picture and the other prompt.
    assert_eq!(place.run(&["16.seed=7"]), ["4", "8", "9", "10", "16"]);
    assert_eq!(place.run(&["6.text=a red ball"]), ["4", "6", "8", "9", "10", "16"]);
    assert_eq!(place.run(&["9.filename_prefix=other"]), ["9"]);
    // What was made with what was kept is what is made without.
    let fresh = Place::new();
    fresh.base.run(&fresh.file).args(["--set", "16.seed=7", "--no-cache"]).finish().expect_code(0);
    assert_eq!(pixels(&place.base, "ComfyUI_00003_.png"), pixels(&fresh.base, "ComfyUI_00001_.png"));
}

#[test]
fn it_is_left_alone_where_it_is_to_be() {
    let place = Place::new();
    place.run(&[]);
    let kept = place.results();
    let all = 9;
    let plain = place.base.run(&place.file).arg("--json").arg("--cache-directory").arg(place.cache());
    assert_eq!(called(&plain.arg("--no-cache").finish().expect_code(0)).len(), all);
    // A dump has the tensors of every node.
    let dump = place.base.path("all.safetensors");
    assert_eq!(called(&place.command(&[]).arg("--dump").arg(dump).finish().expect_code(0)).len(), all);
    // Without a home there is no place for it.
    assert_eq!(called(&place.base.run(&place.file).arg("--json").finish().expect_code(0)).len(), all);
    // From another's cache directory results are taken, and nothing is written there.
    let reader =
        place.base.run(&place.file).args(["--json", "--set", "16.seed=3"]).arg("--cache-from").arg(place.cache());
    assert_eq!(called(&reader.finish().expect_code(0)), ["4", "8", "9", "10", "16"]);
    assert_eq!(place.results(), kept);
    let nowhere = place.base.run(&place.file).args(["--cache-from", "nowhere"]).finish().expect_code(0);
    assert!(nowhere.stderr.contains("there is no folder nowhere; nothing is taken from it"), "{}", nowhere.stderr);
    // A folder that takes nothing costs nothing but a warning.
    let blocked = place.base.write("blocked", "");
    let done = place.base.run(&place.file).arg("--cache-directory").arg(blocked).finish().expect_code(0);
    assert_eq!(done.stderr.matches("results are not kept in").count(), 1, "{}", done.stderr);
    // So does the environment's.
    let mut command = place.base.run(&place.file).arg("--json").into_command();
    let output = command.env("REDRAFT_CACHE_DIR", place.cache()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().matches("\"executing\"").count(), 1);
}

#[test]
fn a_changed_model_or_picture_is_another() {
    let place = Place::new();
    place.run(&[]);
    let picture = place.base.path("input").join(common::PICTURE);
    Redraft::new()
        .args(["draft-picture", "--force", "--width", "64", "--height", "64"])
        .arg(&picture)
        .finish()
        .expect_code(0);
    assert_eq!(place.run(&[]), ["4", "8", "9", "10", "12", "13", "16"]);
    let model = place.base.path("models/checkpoints").join(common::CHECKPOINT);
    fs::remove_file(&model).unwrap();
    let command = Redraft::new().args(["random-checkpoint", "--size", "tiny", "--seed", "2"]).arg(&model);
    command.finish().expect_code(0);
    assert_eq!(place.run(&[]), ["4", "6", "7", "8", "9", "10", "16"]);
    assert_eq!(place.run(&[]), ["9"]);
}

#[test]
fn the_cache_command_tells_and_tidies() {
    let place = Place::new();
    let info = || -> Json {
        serde_json::from_str(&place.cache_command(&["info", "--json"]).finish().expect_code(0).stdout).unwrap()
    };
    assert_eq!(info()["results"], 0);
    place.run(&[]);
    let all = info();
    let classes: Vec<&String> = all["classes"].as_object().unwrap().keys().collect();
    for class in ["KSampler", "CLIPTextEncode", "VAEEncode", "VAEDecode"] {
        assert!(classes.iter().any(|found| *found == class), "{classes:?}");
    }
    assert_eq!(all["classes"]["CLIPTextEncode"]["results"], 2);
    assert!(place.cache_command(&["info"]).finish().expect_code(0).stdout.contains("KSampler: 1 results"));
    // Damaged results are found, removed, and made again.
    let kept = place.results().len();
    assert_eq!(all["results"], kept);
    for path in place.results() {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();
    }
    let done = place.cache_command(&["verify"]).finish().expect_code(1);
    assert!(done.stderr.contains("is damaged; it is removed"), "{}", done.stderr);
    assert!(done.stdout.contains(&format!("0 results are whole, {kept} were damaged")), "{}", done.stdout);
    place.run(&[]);
    // Whether a quick node's result is worth keeping depends on how long the node took.
    let kept = place.results().len();
    let said = place.cache_command(&["verify"]).finish().expect_code(0).stdout;
    assert!(said.contains(&format!("{kept} results are whole, 0 were damaged")), "{said}");
    place.cache_command(&["prune", "--unused-for", "1"]).finish().expect_code(0);
    assert_eq!(place.results().len(), kept);
    let said = place.cache_command(&["prune", "--size", "1kb"]).finish().expect_code(0).stdout;
    assert!(said.contains(&format!("removed {kept} results")), "{said}");
    place.run(&[]);
    place.cache_command(&["clear"]).finish().expect_code(0);
    assert!(files(&place.cache()).is_empty());
    // A small store holds what was used last.
    let done = place.command(&[]).args(["--cache-size", "300kb"]).finish().expect_code(0);
    assert_eq!(called(&done).len(), 9);
    assert!(info()["bytes"].as_u64().unwrap() <= 300 << 10);
}

/// Warnings are told of results that are at hand, too; and numbers made with other kernels are other results.
#[test]
fn what_is_taken_is_what_would_be_made() {
    let place = Place::new();
    let prompt = ["6.text=embedding:nowhere, boots"];
    let warning = "embedding:nowhere does not exist and counts for nothing";
    for calls in [true, false] {
        let done = place.command(&prompt).finish().expect_code(0);
        assert_eq!(called(&done).len() > 1, calls);
        assert!(done.stderr.contains(warning) || done.stdout.contains(warning), "{}", done.stderr);
    }
    for variable in ["MKL_CBWR", "DNNL_MAX_CPU_ISA"] {
        let mut command = place.command(&prompt).into_command();
        let output = command.env(variable, "AVX2").output().unwrap();
        let events = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && events.contains(r#""class_type":"KSampler""#), "{variable}: {events}");
    }
}

/// Runs that share a store and are killed at any moment: what is there afterwards is whole, and nothing is left over.
#[cfg(unix)]
#[test]
fn killed_runs_leave_a_store_that_is_right() {
    let place = Place::new();
    let started = std::time::Instant::now();
    place.run(&[]);
    let whole = started.elapsed();
    let expected: Vec<_> = (0..3)
        .map(|seed| {
            let fresh = Place::new();
            let set = format!("16.seed={seed}");
            fresh.base.run(&fresh.file).args(["--no-cache", "--set", &set]).finish().expect_code(0);
            pixels(&fresh.base, "ComfyUI_00001_.png")
        })
        .collect();
    let mut state = 1_u64;
    for n in 0..20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if n % 5 == 0 {
            place.cache_command(&["clear"]).finish().expect_code(0);
        }
        let before = place.results();
        let mut command = place.command(&[&format!("16.seed={}", n % 3)]).into_command();
        let mut running = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_micros((state >> 33) % (whole.as_micros() as u64)));
        let _ = running.kill();
        running.wait().unwrap();
        let after = place.results();
        assert!(before.iter().all(|kept| after.contains(kept)), "nothing that was whole is lost");
        place.cache_command(&["verify"]).finish().expect_code(0);
    }
    for (seed, expected) in expected.iter().enumerate() {
        let prefix = format!("after{seed}");
        place.run(&[&format!("16.seed={seed}"), &format!("9.filename_prefix={prefix}")]);
        assert_eq!(&pixels(&place.base, &format!("{prefix}_00001_.png")), expected);
    }
    let strays = files(&place.cache()).into_iter().filter(|path| path.extension().is_some_and(|e| e == "part"));
    assert_eq!(strays.collect::<Vec<_>>(), [""; 0].map(PathBuf::from));
}

#[test]
fn processes_at_once_share_a_store() {
    let place = Place::new();
    let runs: Vec<_> = (0..8)
        .map(|n| place.command(&[&format!("16.seed={}", n % 3), &format!("9.filename_prefix=p{n}")]).start())
        .collect();
    for run in runs {
        run.finish().expect_code(0);
    }
    for n in 3..8 {
        assert_eq!(
            pixels(&place.base, &format!("p{n}_00001_.png")),
            pixels(&place.base, &format!("p{}_00001_.png", n % 3))
        );
    }
    assert_eq!(place.run(&["16.seed=1"]), ["9"]);
}
