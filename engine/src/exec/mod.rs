//! The executor: pulls what the targets need, calls nodes whose inputs are at hand, reuses what the cache holds.
//!
//! Lazy inputs, expansion and waiting are handled alike: a node that has begun depends on something else, and continues
//! when that is done. The order of nodes is ComfyUI's.

mod agenda;
mod call;
mod failing;
mod graph;
mod keeping;
mod run;
mod tasks;
mod visit;

use std::sync::Arc;
use std::time::Instant;

use crate::cache::disk::Disk;
use crate::cache::{Cache, Policy, Present};
use crate::cx::{Cancel, Kept, Metadata, Services};
use crate::event::{Event, Observer};
use crate::failure::Failure;
use crate::folders::FolderPaths;
use crate::plan::Plan;

use run::Run;

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Done,
    Failed(Box<Failure>),
    Cancelled,
}

/// What runs have in common: the results that are kept, and what nodes may ask for. It lives on one thread; others may share its folders, to check
/// workflows while it runs one.
pub struct Engine {
    pub folders: Arc<FolderPaths>,
    pub services: Services,
    pub(crate) cache: Box<dyn Cache>,
    pub(crate) disk: Option<Disk>,
    pub(crate) kept: Kept,
}

impl Engine {
    pub fn new(folders: impl Into<Arc<FolderPaths>>, services: Services) -> Self {
        Self::with_cache(folders, services, Policy::default())
    }

    pub fn with_cache(folders: impl Into<Arc<FolderPaths>>, services: Services, policy: Policy) -> Self {
        Self { folders: folders.into(), services, cache: policy.open(), disk: None, kept: Kept::default() }
    }

    /// The same, with results that last from process to process.
    pub fn with_disk(self, disk: Disk) -> Self {
        Self { disk: Some(disk), ..self }
    }

    /// Runs a plan. The observer sees everything; finished results are kept whatever happens to later nodes.
    pub fn run(&mut self, plan: &Plan, metadata: &Metadata, observer: &mut dyn Observer, cancel: &Cancel) -> Outcome {
        let started = Instant::now();
        let steps = || plan.order().map(|at| plan.step(at));
        self.cache.begin(&Present {
            keys: steps().map(|step| step.key).collect(),
            nodes: steps().map(|step| (step.id.clone(), step.class.schema.class.clone())).collect(),
        });
        let prompt = &plan.prompt.nodes;
        self.kept.retain(|id, class| prompt.get(id).is_some_and(|node| node.class_type == class));
        let mut run = Run::new(self, plan, metadata, observer, cancel);
        run.announce();
        let outcome = run.all();
        run.finish_keeping();
        match &outcome {
            Outcome::Done => observer.event(Event::Success { seconds: started.elapsed().as_secs_f64() }),
            Outcome::Failed(failure) => observer.event(Event::Error(failure.clone())),
            Outcome::Cancelled => {}
        }
        outcome
    }
}
