//! Runs of which everything is taken and nothing is kept: for recording, verifying and comparing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use redraft_engine::aside;
use redraft_engine::cache::Policy;
use redraft_engine::cx::{Cancel, Metadata};
use redraft_engine::event::{Event, Observer};
use redraft_engine::exec::{Engine, Outcome as RunOutcome};
use redraft_engine::folders::FolderPaths;
use redraft_engine::io::Socket;
use redraft_engine::plan::Plan;
use redraft_engine::prompt::NodeId;
use redraft_nodes::ops::numerics::Numerics;
use redraft_nodes::pictures::read::look;
use tempfile::TempDir;

use crate::case::Surroundings;
use crate::dump::Taken;
use crate::exit::{Exit, Outcome, Stop};
use crate::session::{self, Device};
use crate::worker::Line;

/// An engine that saves into a folder of its own, which is gone in the end.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    _scratch: TempDir,
}

/// What a run gave.
#[derive(Default)]
pub(crate) struct Ran {
    pub(crate) taken: Taken,
    /// The pictures that were saved as outputs, in the order in which they were. Other files hold what entered their node.
    pub(crate) saved: Vec<(NodeId, PathBuf)>,
    pub(crate) seconds: f64,
}

impl Bench {
    pub(crate) fn open(mut folders: FolderPaths, device: Device) -> Outcome<Self> {
        // What is saved is looked at and not wanted, and the base directory may be read-only.
        let scratch = aside::temporary_folder("redraft-run-").map_err(Stop::wrong)?;
        folders.save_in(scratch.path().join("output"), scratch.path().join("temp"));
        let engine = session::engine(Arc::new(folders), device, Policy::default(), None)?;
        Ok(Self { engine, _scratch: scratch })
    }

    /// Forgets the pictures that came with the last workflow.
    pub(crate) fn forget_handed_in(&mut self) {
        if let Some(folders) = Arc::get_mut(&mut self.engine.folders) {
            folders.forget_handed_in();
        }
    }

    pub(crate) fn surroundings(&self) -> Surroundings {
        self.engine.services.get::<Numerics>().map(|numerics| Surroundings::now(&numerics)).unwrap_or_default()
    }

    /// Runs a plan. `line` is told of progress.
    pub(crate) fn run(&mut self, plan: &Plan, line: &Line, cancel: &Cancel) -> Outcome<Ran> {
        let started = Instant::now();
        let metadata = Metadata { disabled: true, ..Metadata::default() };
        let output = self.engine.folders.output.clone();
        let mut watching = Watching { line: line.clone(), output, ran: Ran::default() };
        let outcome = self.engine.run(plan, &metadata, &mut watching, cancel);
        let ran = Ran { seconds: started.elapsed().as_secs_f64(), ..watching.ran };
        match outcome {
            RunOutcome::Done => Ok(ran),
            RunOutcome::Cancelled => Err(Stop::new(Exit::Cancelled, "cancelled")),
            RunOutcome::Failed(failure) => Err(Stop::new(Exit::of_failure(&failure), failure)),
        }
    }
}

/// Takes what leaves the nodes and what they save, and passes on what is progress.
struct Watching {
    line: Line,
    output: PathBuf,
    ran: Ran,
}

impl Observer for Watching {
    fn event(&mut self, event: Event) {
        match event {
            Event::Start { .. } | Event::Executing { .. } | Event::Progress { .. } | Event::Success { .. } => {
                self.line.event(event);
            }
            Event::Executed { display_node: node, paths, .. } => {
                let saved = paths.into_iter().filter(|path| path.starts_with(&self.output) && look(path).is_ok());
                self.ran.saved.extend(saved.map(|path| (node.clone(), path)));
            }
            _ => {}
        }
    }

    fn outputs(&mut self, node: &NodeId, outputs: &[Socket]) {
        self.ran.taken.take(node, outputs);
    }
}
