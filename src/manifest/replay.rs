//! `redraft replay`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use redraft_engine::aside;
use redraft_engine::cache::Policy;
use redraft_engine::check::{Runnable, check};
use redraft_engine::cx::{Cancel, Metadata};
use redraft_engine::exec::Engine;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::prompt::{NodeId, Prompt, Targets};
use redraft_engine::stock::Known;
use redraft_engine::workflow::{self, Context, LocalTime};

use super::record::{Node, Record, Recording};
use super::saved::Saved;
use super::{Machine, Manifest, brought, drift, read};
use crate::args::{Compute, Directories, Progress};
use crate::bars::Bars;
use crate::exit::{Exit, Outcome, Stop};
use crate::out::plain;
use crate::run::ended;
use crate::worker::{Line, Options, Worker};
use crate::{directories, front, session};

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// What `redraft run --manifest` wrote
    pub(crate) manifest: PathBuf,
    #[command(flatten)]
    pub(crate) directories: Directories,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// How progress is shown [default: bar on a terminal, else plain]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) progress: Option<Progress>,
}

/// What the compute thread needs.
struct Job {
    name: String,
    manifest: Manifest,
    runnable: Runnable,
    /// What differs before anything has run.
    changed: Vec<String>,
}

/// Runs what a manifest tells of again, in full, and says what differs. Saved files go into a folder that is removed in the end.
pub(crate) fn replay(args: &ReplayArgs) -> Outcome {
    let device = session::device(&args.compute)?;
    let name = args.manifest.display().to_string();
    let manifest = read(&args.manifest)?;
    let registry = Arc::new(Registry::linked()?);
    let mut folders = directories::folders(&args.directories)?;
    brought::give_back(&manifest.brought, &folders).map_err(|stop| stop.of_file(&name))?;
    let changed = drift::of_files(&manifest, &folders).map_err(|stop| stop.of_file(&name))?;
    let aside = aside::temporary_folder("redraft-run-").map_err(Stop::wrong)?;
    folders.save_in(aside.path().join("output"), aside.path().join("temp"));
    let context = Context { schemas: &Known(&registry), folders: &folders, seed: 0, now: LocalTime::default() };
    let workflow = workflow::read_value(&manifest.prompt, &context);
    let prompt = workflow.map_err(|error| Stop::wrong(error).of_file(&name))?.prompt;
    let targets = if manifest.targets.is_empty() { Targets::Outputs } else { Targets::Only(manifest.targets.clone()) };
    let checked = check(&prompt, &registry, &folders, &targets);
    let runnable = checked.whole().map_err(|mut problems| session::of_problems(&mut problems, None).of_file(&name))?;

    let folders = Arc::new(folders);
    let (mut worker, messages) = Worker::start(Options::default(), move || {
        let mut engine = session::engine(folders, device, Policy::default(), None)?;
        Ok(move |job: Job, line: &mut Line, cancel: &Cancel| again(job, &registry, &mut engine, line, cancel))
    })?;
    worker.submit(Job { name, manifest, runnable, changed });
    front::held_against(worker, messages, Bars::new(args.progress, false))
}

fn again(job: Job, registry: &Registry, engine: &mut Engine, line: &Line, cancel: &Cancel) -> Outcome {
    let Job { name, manifest, runnable, changed } = job;
    let of_machine = drift::of_machine(&manifest.machine, &Machine::of(engine));
    changed.iter().chain(&of_machine).for_each(|text| line.note(format!("{name}: {text}")));
    let mut record = Record::new(classes(&runnable.prompt));
    let plan = Plan::of(runnable, registry, &engine.folders, &session::salt(engine));
    let metadata = Metadata { disabled: true, ..Metadata::default() };
    let outcome =
        engine.run(&plan, &metadata, &mut Recording { inner: &mut line.clone(), record: &mut record }, cancel);
    let outcome = ended(&name, outcome);
    let saved: Vec<_> = record.files().map(|path| Saved::of(path, &engine.folders)).collect();
    let nodes = record.nodes();
    match outcome {
        Ok(_) if manifest.exit == 0 => verdict(&name, &manifest, &nodes, &saved, &changed, line),
        Err(stop) if stop.exit == Exit::Cancelled => Err(stop),
        Err(stop) if stop.exit as u8 == manifest.exit => {
            line.note(format!("{name}: it failed then, and fails now: {}", plain(&stop.message)));
            verdict(&name, &manifest, &nodes, &saved, &changed, line)
        }
        Ok(_) => Err(drifted(&name, &format!("it failed then with exit code {}, and does not now", manifest.exit))),
        Err(stop) => Err(stop),
    }
}

fn verdict(
    name: &str,
    manifest: &Manifest,
    nodes: &[Node],
    saved: &[Saved],
    changed: &[String],
    line: &Line,
) -> Outcome {
    if let Some(node) = drift::of_nodes(&manifest.nodes, nodes) {
        let how_much =
            "a manifest holds digests alone, which do not tell by how much: `redraft record` and `redraft verify` do";
        return Err(drifted(name, &format!("{node}; {how_much}")));
    }
    if let Some(picture) = drift::of_saved(&manifest.files, saved) {
        return Err(drifted(name, &picture));
    }
    match changed {
        [] => {
            let nodes = manifest.nodes.len();
            line.note(format!("{name}: {nodes} nodes and {} files are what they were", saved.len()));
            Ok(Exit::Done)
        }
        _ => Err(drifted(name, "the results are what they were; what they are made of is not")),
    }
}

fn drifted(name: &str, what: &str) -> Stop {
    Stop::new(Exit::NodeFailed, format!("{name}: {}", plain(what)))
}

/// The classes of a prompt's nodes.
pub(crate) fn classes(prompt: &Prompt) -> HashMap<NodeId, String> {
    prompt.nodes.iter().map(|(id, node)| (id.clone(), node.class_type.clone())).collect()
}
