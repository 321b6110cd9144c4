//! What a running node may ask for.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value as Json;

use crate::error::Cancelled;
use crate::event::{Event, Observer, Ui};
use crate::feed::GraphNode;
use crate::folders::FolderPaths;
pub use crate::key::Identity;
use crate::key::Key;
use crate::prompt::NodeId;

/// A flag that ends a run at the next sampling step or node; any thread may raise it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_raised() { Err(Cancelled) } else { Ok(()) }
    }
}

/// What the nodes share and the engine knows nothing of (a device, loaded networks), one value per type.
#[derive(Default)]
pub struct Services(HashMap<TypeId, Rc<dyn Any>>);

impl Services {
    pub fn insert<T: Any>(&mut self, service: T) {
        self.0.insert(TypeId::of::<T>(), Rc::new(service));
    }

    pub fn get<T: Any>(&self) -> Option<Rc<T>> {
        self.0.get(&TypeId::of::<T>()).cloned().and_then(|service| service.downcast().ok())
    }
}

/// What is written into the metadata of saved files.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The API form that runs.
    pub prompt: Json,
    /// The keys of `extra_pnginfo`, normally `workflow` alone: the UI form.
    pub extra: Vec<(String, Json)>,
    /// `--disable-metadata`.
    pub disabled: bool,
}

/// What nodes keep between runs, by node and class; it goes when the node is no longer in the workflow.
#[derive(Default)]
pub(crate) struct Kept(RefCell<HashMap<(NodeId, String), Rc<dyn Any>>>);

impl Kept {
    /// Forgets the nodes that are no longer there.
    pub(crate) fn retain(&self, present: impl Fn(&NodeId, &str) -> bool) {
        self.0.borrow_mut().retain(|(id, class), _| present(id, class));
    }
}

/// What a node showed, the files that it wrote, and what it warned of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    pub ui: Ui,
    pub files: Vec<PathBuf>,
    pub warnings: Vec<String>,
}

impl Shown {
    pub fn is_empty(&self) -> bool {
        self.ui.is_empty() && self.files.is_empty()
    }
}

/// The graph that runs: the workflow, and what its nodes have added to it.
pub(crate) trait RunningGraph {
    fn node(&self, id: &NodeId) -> Option<GraphNode>;
}

/// The running node's view of the world.
pub struct Cx<'a> {
    /// Its id in the running graph: of a node made at run time, its own.
    pub node: &'a NodeId,
    pub folders: &'a FolderPaths,
    pub metadata: &'a Metadata,
    pub(crate) class: &'a str,
    pub(crate) key: Key,
    pub(crate) services: &'a Services,
    pub(crate) cancel: &'a Cancel,
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) graph: &'a dyn RunningGraph,
    pub(crate) kept: &'a Kept,
    pub(crate) reports: &'a Reports,
    /// Which of the calls over a list this is, and how many graphs it has begun.
    pub(crate) call: usize,
    pub(crate) graphs: usize,
    pub(crate) shown: Shown,
}

impl Cx<'_> {
    /// Reports `done` of `total` steps. This is also where a cancelled run stops: pass the error on.
    pub fn progress(&mut self, done: usize, total: usize) -> anyhow::Result<()> {
        self.observer.event(Event::Progress { node: self.node.clone(), done, total });
        Ok(self.cancel.check()?)
    }

    /// Fails if the run was cancelled, without a word on progress: for work of many small parts.
    pub fn check(&self) -> anyhow::Result<()> {
        Ok(self.cancel.check()?)
    }

    /// Shows what is under way, after `done` steps: an encoded picture, made only when someone wants previews.
    pub fn preview(&mut self, done: usize, make: impl FnOnce() -> anyhow::Result<Vec<u8>>) -> anyhow::Result<()> {
        if self.observer.wants_previews() {
            let image = make()?;
            self.observer.event(Event::Preview { node: self.node.clone(), done, bytes: image.len(), image });
        }
        Ok(())
    }

    /// Reports progress for a node that goes on after its call has returned: see [`Later`](crate::flow::Later).
    pub fn reporter(&self) -> Reporter {
        Reporter { node: self.node.clone(), cancel: self.cancel.clone(), reports: self.reports.clone() }
    }

    /// Something the user should know although the node goes on.
    pub fn warn(&mut self, message: impl Into<String>) {
        let message = message.into();
        self.shown.warnings.push(message.clone());
        self.observer.event(Event::Warning { node: Some(self.node.clone()), message });
    }

    /// Announces a file that now stands complete on the disk.
    pub fn saved(&mut self, path: PathBuf) {
        self.shown.files.push(path);
    }

    /// Shows something to the user, under ComfyUI's name for what it is: `images`, `latents`, `text`, `animated`, ...
    pub fn ui(&mut self, name: &str, shown: impl Into<Json>) {
        self.shown.ui.add(name, shown.into());
    }

    /// What the program gave all nodes under this type. Fails if it did not.
    pub fn service<T: Any>(&self) -> anyhow::Result<Rc<T>> {
        let missing = || anyhow::anyhow!("this program runs nodes without {}", std::any::type_name::<T>());
        self.services.get().ok_or_else(missing)
    }

    /// A node of the running graph with what feeds its inputs, ComfyUI's hidden input `DYNPROMPT`.
    pub fn graph_node(&self, id: &NodeId) -> Option<GraphNode> {
        self.graph.node(id)
    }

    /// Tells what this call makes from what any other makes: the same for the same class and inputs, in every run.
    pub fn identity(&self) -> Identity {
        Identity(self.key, self.call)
    }

    /// What this node keeps from run to run for as long as it stays in the workflow; made when it is first asked for.
    pub fn kept<T: Any>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        let key = (self.node.clone(), self.class.to_owned());
        let found = self.kept.0.borrow().get(&key).cloned().and_then(|kept| kept.downcast::<T>().ok());
        found.unwrap_or_else(|| {
            let made = Rc::new(make());
            self.kept.0.borrow_mut().insert(key, made.clone());
            made
        })
    }

    /// What the ids of the next graph's nodes begin with.
    pub(crate) fn graph_prefix(&mut self) -> String {
        let prefix = format!("{}.{}.{}.", self.node, self.call, self.graphs);
        self.graphs += 1;
        prefix
    }
}

/// Events of nodes that wait, until the executor passes them on.
pub(crate) type Reports = Rc<RefCell<Vec<Event>>>;

/// Reports the progress of a node that waits.
#[derive(Clone)]
pub struct Reporter {
    node: NodeId,
    cancel: Cancel,
    reports: Reports,
}

impl Reporter {
    /// As [`Cx::progress`].
    pub fn progress(&self, done: usize, total: usize) -> anyhow::Result<()> {
        self.reports.borrow_mut().push(Event::Progress { node: self.node.clone(), done, total });
        Ok(self.cancel.check()?)
    }
}
