//! Results on the disk: what one process makes, another takes.
#![allow(clippy::unwrap_used)]

mod bench;

use std::path::Path;
use std::time::Duration;

use bench::{Seen, prompt};
use redraft_engine::Node;
use redraft_engine::cache::Policy;
use redraft_engine::cache::disk::{self, Disk};
use redraft_engine::codec::Codec;
use redraft_engine::cx::{Cancel, Cx, Metadata, Services};
use redraft_engine::digests::{self, Digests};
use redraft_engine::event::Event;
use redraft_engine::exec::{Engine, Outcome};
use redraft_engine::folders::FolderPaths;
use redraft_engine::io::{Value, Wildcard, Wire};
use redraft_engine::node::{Fingerprint, Offer, Registry, Run};
use redraft_engine::plan::Plan;
use redraft_engine::prompt::Targets;
use serde_json::{Value as Json, json};

/// Long enough to be worth keeping, whatever the machine.
const LONG: Duration = Duration::from_millis(20);

/// Something that is made again in each process.
#[derive(Clone)]
struct Model(String);

impl Wire for Model {
    const TYPE: &'static str = "DISK_MODEL";
    const CODEC: Codec<Self> = Codec::Recipe;
}

#[derive(Node)]
#[node(category = "disk")]
struct DiskModel {
    #[input(files = "checkpoints")]
    file: String,
}

impl Run for DiskModel {
    type Out = Model;
    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(Model(self.file))
    }
}

/// Takes no time, but needs the model.
#[derive(Node)]
#[node(category = "disk")]
struct DiskEncode {
    model: Model,
    text: String,
}

impl Run for DiskEncode {
    type Out = String;
    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        Ok(format!("{} by {}", self.text, self.model.0))
    }
}

#[derive(Node)]
#[node(category = "disk")]
struct DiskSlow {
    #[input(force_input)]
    text: String,
    seed: i64,
}

impl Run for DiskSlow {
    type Out = String;
    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        std::thread::sleep(LONG);
        Ok(format!("{} {}", self.text, self.seed))
    }
}

#[derive(Node)]
#[node(category = "disk")]
struct DiskQuick {
    #[input(force_input)]
    text: String,
}

impl Run for DiskQuick {
    type Out = String;
    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        Ok(self.text.to_uppercase())
    }
}

/// Never makes the same twice.
#[derive(Node)]
#[node(category = "disk")]
struct DiskFresh {
    #[input(force_input)]
    text: String,
}

impl Run for DiskFresh {
    type Out = String;
    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        std::thread::sleep(LONG);
        Ok(self.text)
    }

    fn fingerprint(_: &Offer) -> anyhow::Result<Fingerprint> {
        Ok(Fingerprint::Never)
    }
}

#[derive(Node)]
#[node(category = "disk", not_idempotent)]
struct DiskOwn {
    #[input(force_input)]
    text: String,
}

impl Run for DiskOwn {
    type Out = String;
    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        std::thread::sleep(LONG);
        Ok(self.text)
    }
}

/// Takes a name of a file, over a link as well.
#[derive(Node)]
#[node(category = "disk")]
struct DiskFile {
    #[input(files = "checkpoints")]
    file: String,
}

impl Run for DiskFile {
    type Out = String;
    fn run(self, cx: &mut Cx) -> anyhow::Result<String> {
        std::thread::sleep(LONG);
        Ok(std::fs::read_to_string(cx.folders.find("checkpoints", &self.file).unwrap())?)
    }
}

#[derive(Node)]
#[node(category = "disk")]
struct DiskName {
    text: String,
}

impl Run for DiskName {
    type Out = Wildcard;
    fn run(self, _: &mut Cx) -> anyhow::Result<Wildcard> {
        Ok(Wildcard(Value::new("STRING", self.text)))
    }
}

#[derive(Node)]
#[node(category = "disk", output)]
struct DiskShow {
    #[input(force_input)]
    text: String,
}

impl Run for DiskShow {
    type Out = ();
    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        std::thread::sleep(LONG);
        cx.ui("text", self.text);
        Ok(())
    }
}

/// A base directory with a cache; each run is a process of its own.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("models/checkpoints")).unwrap();
        let place = Self(dir);
        place.write("a.safetensors", b"one");
        place
    }

    fn write(&self, model: &str, content: &[u8]) {
        std::fs::write(self.0.path().join("models/checkpoints").join(model), content).unwrap();
    }

    fn results(&self) -> std::path::PathBuf {
        self.0.path().join("cache/results")
    }

    fn engine(&self) -> Engine {
        let mut folders = FolderPaths::below(self.0.path());
        folders.digests = Digests::kept_in(Some(self.0.path().join("cache/digests")), Vec::new());
        let engine = Engine::with_cache(folders, Services::default(), Policy::default());
        engine.with_disk(Disk::new(Some(self.results()), Vec::new(), 1 << 30))
    }

    fn run(&self, nodes: &Json) -> Seen {
        run_in(&mut self.engine(), nodes)
    }
}

fn run_in(engine: &mut Engine, nodes: &Json) -> Seen {
    let registry = Registry::linked().unwrap();
    let plan = Plan::new(prompt(nodes.clone()), &registry, &engine.folders, &Targets::Outputs, "").unwrap();
    let mut seen = Seen::default();
    let outcome = engine.run(&plan, &Metadata::default(), &mut seen, &Cancel::default());
    assert_eq!(outcome, Outcome::Done);
    seen
}

fn workflow(text: &str, seed: i64) -> Json {
    json!({
        "model": { "class": "DiskModel", "file": "a.safetensors" },
        "encode": { "class": "DiskEncode", "model": ["model", 0], "text": text },
        "slow": { "class": "DiskSlow", "text": ["encode", 0], "seed": seed },
        "quick": { "class": "DiskQuick", "text": ["slow", 0] },
        "show": { "class": "DiskShow", "text": ["quick", 0] },
    })
}

#[test]
fn another_process_calls_what_is_left_to_do() {
    let place = Place::new();
    let first = place.run(&workflow("a cat", 1));
    assert_eq!(first.called(), ["model", "encode", "slow", "quick", "show"]);
    // What takes no time is made again; what shows something always is.
    let second = place.run(&workflow("a cat", 1));
    assert_eq!(second.called(), ["quick", "show"]);
    assert_eq!((second.texts(), second.socket("slow", 0)), (first.texts(), first.socket("slow", 0)));
    let cached = second.events.iter().find_map(|event| match event {
        Event::Cached { nodes } => Some(nodes.iter().map(ToString::to_string).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(cached.unwrap(), ["encode", "slow"]);
    // Another seed takes the encoded text, which took no time, because the model is not needed so.
    assert_eq!(place.run(&workflow("a cat", 2)).called(), ["slow", "quick", "show"]);
    assert_eq!(place.run(&workflow("a dog", 2)).called(), ["model", "encode", "slow", "quick", "show"]);
}

#[test]
fn another_model_of_the_same_name_is_another() {
    let place = Place::new();
    place.run(&workflow("a cat", 1));
    place.write("a.safetensors", b"two");
    assert_eq!(place.run(&workflow("a cat", 1)).called().len(), 5);
    place.write("a.safetensors", b"one");
    assert_eq!(place.run(&workflow("a cat", 1)).called(), ["quick", "show"]);
}

#[test]
fn results_of_a_model_that_is_being_read_are_kept_when_it_is() {
    let place = Place::new();
    let mut content = vec![0; digests::LARGE as usize];
    place.write("a.safetensors", &content);
    assert_eq!(place.run(&workflow("a cat", 1)).called().len(), 5);
    assert_eq!(place.run(&workflow("a cat", 1)).called(), ["quick", "show"]);
    content[digests::LARGE as usize / 2] = 1;
    place.write("a.safetensors", &content);
    assert_eq!(place.run(&workflow("a cat", 1)).called().len(), 5);
    // In one process, what was made while the model was being read is found by what comes after, in memory and on the disk.
    let other = Place::new();
    other.write("a.safetensors", &content);
    let mut engine = other.engine();
    run_in(&mut engine, &workflow("a cat", 1));
    run_in(&mut engine, &workflow("a dog", 1));
    assert_eq!(run_in(&mut engine, &workflow("a cat", 1)).called(), ["quick", "show"]);
}

#[test]
fn what_another_process_may_not_take_is_not_kept() {
    let place = Place::new();
    let fresh = |class: &str| {
        json!({
            "model": { "class": "DiskModel", "file": "a.safetensors" },
            "encode": { "class": "DiskEncode", "model": ["model", 0], "text": "a" },
            "it": { "class": class, "text": ["encode", 0] },
            "slow": { "class": "DiskSlow", "text": ["it", 0], "seed": 1 },
            "show": { "class": "DiskShow", "text": ["slow", 0] },
        })
    };
    for class in ["DiskFresh", "DiskOwn"] {
        place.run(&fresh(class));
        assert_eq!(place.run(&fresh(class)).called(), ["it", "slow", "show"], "{class}");
    }
    // A name that comes over a link: what the file holds is no part of the key.
    let linked = json!({
        "model": { "class": "DiskModel", "file": "a.safetensors" },
        "name": { "class": "DiskName", "text": "a.safetensors" },
        "file": { "class": "DiskFile", "file": ["name", 0] },
        "show": { "class": "DiskShow", "text": ["file", 0] },
    });
    assert_eq!(place.run(&linked).texts(), ["one"]);
    place.write("a.safetensors", b"two");
    assert_eq!(place.run(&linked).texts(), ["two"]);
}

#[test]
fn what_is_damaged_is_told_and_made_again() {
    let place = Place::new();
    let whole = place.run(&workflow("a cat", 1));
    for entry in disk::entries(&place.results()) {
        let mut bytes = std::fs::read(&entry.path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&entry.path, bytes).unwrap();
    }
    let second = place.run(&workflow("a cat", 1));
    assert_eq!((second.texts(), second.called().len()), (whole.texts(), 5));
    let warnings = second.events.iter().filter(
        |event| matches!(event, Event::Warning { message, .. } if message.contains("is damaged; it is made again")),
    );
    assert_eq!(warnings.count(), 2);
    assert_eq!(place.run(&workflow("a cat", 1)).called(), ["quick", "show"]);
}

#[test]
fn many_processes_share_a_folder() {
    let place = Place::new();
    let run = |n: i64| place.run(&workflow(["a", "b", "c"][n as usize % 3], n % 4)).texts();
    let alone: Vec<_> =
        (0..12).map(|n| Place::new().run(&workflow(["a", "b", "c"][n as usize % 3], n % 4)).texts()).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| scope.spawn(move || (0..24).map(|n| run((n + thread * 5) % 12)).collect::<Vec<_>>()))
            .collect();
        for (thread, texts) in threads.into_iter().enumerate() {
            for (n, texts) in texts.join().unwrap().into_iter().enumerate() {
                assert_eq!(texts, alone[(n + thread * 5) % 12]);
            }
        }
    });
    assert!(strays(&place.results()).is_empty());
}

fn strays(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("part")).collect()
}
