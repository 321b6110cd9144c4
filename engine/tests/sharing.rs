//! What threads may share: workflows are checked while another thread runs one.
#![allow(clippy::unwrap_used)]

mod bench;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bench::prompt;
use redraft_engine::Node;
use redraft_engine::check::check;
use redraft_engine::cx::{Cancel, Cx, Metadata, Services};
use redraft_engine::event::Event;
use redraft_engine::exec::{Engine, Outcome};
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Registry, Run};
use redraft_engine::plan::Plan;
use redraft_engine::prompt::Targets;
use serde_json::json;

/// Both ends of a node that stands for a long one: it says that it has begun, and ends when it is told to.
static BEGUN: Mutex<Option<Sender<()>>> = Mutex::new(None);
static GO_ON: Mutex<Option<Receiver<()>>> = Mutex::new(None);

#[derive(Node)]
#[node(category = "sharing", output)]
struct Long {
    #[input(files = "checkpoints")]
    file: String,
}

impl Run for Long {
    type Out = ();
    fn run(self, _: &mut Cx) -> anyhow::Result<()> {
        anyhow::ensure!(self.file == "a.safetensors", "it was given {}", self.file);
        BEGUN.lock().unwrap().take().unwrap().send(())?;
        Ok(GO_ON.lock().unwrap().take().unwrap().recv()?)
    }
}

#[test]
fn a_workflow_is_checked_while_another_runs() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("models/checkpoints");
    std::fs::create_dir_all(&models).unwrap();
    std::fs::write(models.join("a.safetensors"), "a").unwrap();
    let folders = Arc::new(FolderPaths::below(dir.path()));
    let registry = Arc::new(Registry::linked().unwrap());
    let (begin, begun) = channel();
    let (tell, told) = channel();
    *BEGUN.lock().unwrap() = Some(begin);
    *GO_ON.lock().unwrap() = Some(told);
    let nodes = |file: &str| prompt(json!({"1": {"class": "Long", "file": file}}));
    let runnable = check(&nodes("a.safetensors"), &registry, &folders, &Targets::Outputs).whole().unwrap();

    let running = std::thread::spawn({
        let (registry, folders) = (registry.clone(), folders.clone());
        move || {
            let mut engine = Engine::new(folders, Services::default());
            let plan = Plan::of(runnable, &registry, &engine.folders, "");
            let mut events: Vec<Event> = Vec::new();
            let outcome = engine.run(&plan, &Metadata::default(), &mut events, &Cancel::default());
            (outcome, events)
        }
    });
    begun.recv().unwrap();
    // The node runs, and goes on running until this thread tells it to end.
    let problems = check(&nodes("b.safetensors"), &registry, &folders, &Targets::Outputs).problems;
    assert!(problems.only_missing() && problems.0.len() == 1, "{problems}");
    assert!(check(&nodes("a.safetensors"), &registry, &folders, &Targets::Outputs).whole().is_ok());
    folders.digests.of(&models.join("a.safetensors")).unwrap();
    tell.send(()).unwrap();
    let (outcome, events) = running.join().unwrap();
    assert_eq!(outcome, Outcome::Done);

    // Events go to other threads and processes as JSON, and read back as they were.
    let lines: Vec<String> = events.iter().map(|event| json!(event).to_string()).collect();
    let again: Vec<Event> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(again, events);
}
