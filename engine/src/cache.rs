//! Results kept between runs.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::event::SavedFile;
use crate::io::Socket;
use crate::key::Key;

/// What a node left behind: its outputs, the files it wrote, the texts it showed.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub outputs: Vec<Socket>,
    pub saved: Vec<SavedFile>,
    pub texts: Vec<String>,
}

/// A policy for keeping results.
pub trait Cache {
    /// A run of nodes with these keys begins.
    fn begin(&mut self, keys: &HashSet<Key>);
    fn get(&self, key: &Key) -> Option<Rc<Entry>>;
    fn put(&mut self, key: Key, entry: Rc<Entry>);
}

/// ComfyUI's default: results live as long as the next run has a node for them.
#[derive(Default)]
pub struct Classic(HashMap<Key, Rc<Entry>>);

impl Cache for Classic {
    fn begin(&mut self, keys: &HashSet<Key>) {
        self.0.retain(|key, _| keys.contains(key));
    }

    fn get(&self, key: &Key) -> Option<Rc<Entry>> {
        self.0.get(key).cloned()
    }

    fn put(&mut self, key: Key, entry: Rc<Entry>) {
        self.0.insert(key, entry);
    }
}
