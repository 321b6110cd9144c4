//! `redraft run --manifest`: what was run, on what, and what came of it, node by node; and `redraft replay`.

mod brought;
mod drift;
mod named;
mod record;
mod replay;
mod saved;

use std::io::Write;
use std::path::{Path, PathBuf};

use redraft_engine::aside::Aside;
use redraft_engine::exec::Engine;
use redraft_engine::files;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::prompt::{NodeId, Prompt};
use redraft_nodes::ops::numerics::Numerics;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use self::brought::Brought;
use self::named::Named;
use self::record::Node;
pub(crate) use self::record::{Record, Recording};
pub(crate) use self::replay::{ReplayArgs, classes, replay};
use self::saved::Saved;
use crate::case::Surroundings;
use crate::exit::{Exit, Outcome, Stop};
use crate::named::named_files;
use crate::session;

/// The version of the format.
const FORMAT: u32 = 1;
/// The largest manifest that is read, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// What a manifest holds. docs/sweep.md describes it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// The file that was run, as it was named.
    file: String,
    started: String,
    /// The exit code, and why if it is not 0.
    exit: u8,
    error: Option<String>,
    seconds: f64,
    machine: Machine,
    /// The API form that ran.
    prompt: Json,
    /// The nodes that it ran for.
    targets: Vec<NodeId>,
    models: Vec<Named>,
    pictures: Vec<Named>,
    /// Of the pictures, those that came with the workflow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    brought: Vec<Brought>,
    /// In the order in which they were done.
    nodes: Vec<Node>,
    files: Vec<Saved>,
}

/// What the results depend on besides the workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Machine {
    #[serde(flatten)]
    surroundings: Surroundings,
    libtorch: String,
    /// What every cache key holds of program and machine: redraft's sources too.
    key: String,
}

impl Machine {
    fn of(engine: &Engine) -> Self {
        let key = session::salt(engine);
        let libtorch = key.split(' ').find_map(|word| word.strip_prefix("libtorch=")).unwrap_or("?").to_owned();
        let surroundings = engine.services.get::<Numerics>().map(|numerics| Surroundings::now(&numerics));
        Self { surroundings: surroundings.unwrap_or_default(), libtorch, key }
    }
}

/// A manifest under way.
pub(crate) struct Writer {
    to: Option<PathBuf>,
    manifest: Manifest,
}

impl Writer {
    /// Begins the manifest of a plan. Without a path it goes beside the first saved file.
    pub(crate) fn begin(to: Option<&Path>, file: &str, plan: &Plan, engine: &Engine) -> Self {
        let manifest = Manifest {
            format: FORMAT,
            file: file.to_owned(),
            started: chrono::Local::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, false),
            exit: 0,
            error: None,
            seconds: 0.0,
            machine: Machine::of(engine),
            prompt: plan.prompt.to_json(),
            targets: plan.targets().iter().map(|at| plan.step(*at).id.clone()).collect(),
            models: Vec::new(),
            pictures: Vec::new(),
            brought: Vec::new(),
            nodes: Vec::new(),
            files: Vec::new(),
        };
        Self { to: to.map(Path::to_owned), manifest }
    }

    /// Writes it, however the run ended. Only now the files that the workflow names are hashed, as far as this was not done beside the
    /// run; not if it was cancelled, which does not wait for that.
    pub(crate) fn end(
        mut self,
        record: Record,
        outcome: &Outcome,
        prompt: &Prompt,
        registry: &Registry,
        folders: &FolderPaths,
    ) -> Outcome<()> {
        let manifest = &mut self.manifest;
        let (exit, error) = match outcome {
            Ok(exit) => (*exit, None),
            Err(stop) => (stop.exit, Some(stop.message.clone())),
        };
        (manifest.exit, manifest.error, manifest.seconds) = (exit as u8, error, record.seconds());
        if exit != Exit::Cancelled {
            let named = named_files(prompt, registry, folders);
            (manifest.models, manifest.pictures) = named::files(&named, folders);
            manifest.brought = brought::take(&named, folders);
        }
        let to = match self.to {
            Some(to) => to,
            None => beside(record.files().next(), &manifest.file, &folders.output),
        };
        manifest.files = record.files().map(|path| Saved::of(path, folders)).collect();
        manifest.nodes = record.nodes();
        let wrong =
            |error: std::io::Error| Stop::new(Exit::NodeFailed, format!("--manifest {}: {error}", to.display()));
        let text = serde_json::to_string_pretty(manifest).map_err(|error| wrong(error.into()))?;
        let mut aside = Aside::of(&to).map_err(wrong)?;
        aside.write_all(text.as_bytes()).and_then(|()| aside.write_all(b"\n")).map_err(wrong)?;
        aside.stand_over().map_err(wrong)
    }
}

/// The path beside the first saved file, or, where nothing was saved, in the output folder under the workflow's name.
fn beside(saved: Option<&Path>, file: &str, output: &Path) -> PathBuf {
    match saved {
        Some(saved) => saved.with_extension("manifest.json"),
        None => {
            let stem = Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
            output.join(format!("{}.manifest.json", stem.unwrap_or_else(|| "run".to_owned())))
        }
    }
}

fn read(file: &Path) -> Outcome<Manifest> {
    let wrong = |why: String| Stop::wrong(format!("{}: {why}; name a file that --manifest wrote", file.display()));
    let bytes = files::read(file, MAX_BYTES).map_err(|error| wrong(error.to_string()))?;
    let json: Json = serde_json::from_slice(&bytes).map_err(|error| wrong(format!("is no JSON: {error}")))?;
    match json["format"].as_u64() {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => return Err(wrong(format!("has the format {format}, and {FORMAT} is read here"))),
        None => return Err(wrong("is no manifest".to_owned())),
    }
    serde_json::from_value(json).map_err(|error| wrong(format!("is no manifest: {error}")))
}
