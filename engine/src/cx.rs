//! What a running node may ask for.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value as Json;

use crate::error::Cancelled;
use crate::event::{Event, Observer, SavedFile};
use crate::folders::FolderPaths;
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

/// The running node's view of the world.
pub struct Cx<'a> {
    pub node: &'a NodeId,
    pub folders: &'a FolderPaths,
    pub metadata: &'a Metadata,
    pub(crate) services: &'a Services,
    pub(crate) cancel: &'a Cancel,
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) saved: Vec<SavedFile>,
    pub(crate) texts: Vec<String>,
}

impl Cx<'_> {
    /// Reports `done` of `total` steps. This is also where a cancelled run stops: pass the error on.
    pub fn progress(&mut self, done: usize, total: usize) -> anyhow::Result<()> {
        self.observer.event(Event::Progress { node: self.node.clone(), done, total });
        Ok(self.cancel.check()?)
    }

    /// Something the user should know although the node goes on.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.observer.event(Event::Warning { node: Some(self.node.clone()), message: message.into() });
    }

    /// Announces a file that now stands complete on the disk.
    pub fn saved(&mut self, file: SavedFile) {
        self.saved.push(file);
    }

    /// Shows a text to the user.
    pub fn show_text(&mut self, text: String) {
        self.texts.push(text);
    }

    /// What the program gave all nodes under this type. Fails if it did not.
    pub fn service<T: Any>(&self) -> anyhow::Result<Rc<T>> {
        let missing = || anyhow::anyhow!("this program runs nodes without {}", std::any::type_name::<T>());
        self.services.get().ok_or_else(missing)
    }
}
