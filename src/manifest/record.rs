//! What happens in a run, as a manifest keeps it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use indexmap::IndexMap;
use redraft_engine::codec::Lasting;
use redraft_engine::event::{Event, Observer};
use redraft_engine::io::Socket;
use redraft_engine::memory;
use redraft_engine::prompt::NodeId;
use redraft_engine::results_file;
use serde::{Deserialize, Serialize};

/// A node that was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) class: String,
    /// What its call took; 0 where its results were kept.
    pub(super) seconds: f64,
    /// Whether its results were kept from before, and it was not called.
    pub(super) cached: bool,
    /// The most memory that the whole process had taken until then, in bytes; 0 where the system does not tell.
    pub(super) peak_memory: u64,
    /// By how much this node raised that.
    pub(super) peak_memory_grew: u64,
    /// By slot, BLAKE3 of the values as the store on the disk writes them; nothing for models and the like, which are no data.
    pub(super) outputs: Vec<Option<String>>,
}

/// Collects what a run does.
pub(crate) struct Record {
    classes: HashMap<NodeId, String>,
    nodes: IndexMap<NodeId, Node>,
    called: HashSet<NodeId>,
    files: Vec<PathBuf>,
    peak: u64,
    start: Instant,
}

impl Record {
    /// For a workflow whose nodes are of these classes.
    pub(crate) fn new(classes: HashMap<NodeId, String>) -> Self {
        let (nodes, called, files) = (IndexMap::new(), HashSet::new(), Vec::new());
        Self { classes, nodes, called, files, peak: peak(), start: Instant::now() }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    pub(super) fn nodes(self) -> Vec<Node> {
        self.nodes.into_values().collect()
    }

    fn see(&mut self, event: &Event) {
        match event {
            Event::Executing { node, class, .. } => {
                self.classes.insert(node.clone(), class.clone());
                self.called.insert(node.clone());
            }
            Event::Finished { node, seconds } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.seconds = *seconds;
                }
            }
            Event::Executed { paths, .. } => {
                for path in paths {
                    if !self.files.contains(path) {
                        self.files.push(path.clone());
                    }
                }
            }
            _ => {}
        }
    }

    fn take(&mut self, id: &NodeId, outputs: &[Socket]) {
        if self.nodes.contains_key(id) {
            return;
        }
        let before = std::mem::replace(&mut self.peak, peak());
        let node = Node {
            id: id.clone(),
            class: self.classes.get(id).cloned().unwrap_or_default(),
            seconds: 0.0,
            cached: !self.called.contains(id),
            peak_memory: self.peak,
            peak_memory_grew: self.peak.saturating_sub(before),
            outputs: outputs.iter().map(digest).collect(),
        };
        self.nodes.insert(id.clone(), node);
        // What the digests took does not count for the next node.
        self.peak = peak();
    }
}

/// Passes events on and records them.
pub(crate) struct Recording<'a> {
    pub(crate) inner: &'a mut dyn Observer,
    pub(crate) record: &'a mut Record,
}

impl Observer for Recording<'_> {
    fn event(&mut self, event: Event) {
        self.record.see(&event);
        self.inner.event(event);
    }

    fn wants_previews(&self) -> bool {
        self.inner.wants_previews()
    }

    fn outputs(&mut self, node: &NodeId, outputs: &[Socket]) {
        self.record.take(node, outputs);
        self.inner.outputs(node, outputs);
    }
}

/// The digest of one output; nothing if it is no data, or too large to be written down at once.
fn digest(socket: &Socket) -> Option<String> {
    let bytes: usize = socket.iter().map(|value| value.bytes()).sum();
    memory::ask(bytes.saturating_mul(2), "a digest of an output").ok()?;
    let bytes = results_file::to_bytes(std::slice::from_ref(socket), &Lasting::blank())?;
    Some(blake3::hash(&bytes).to_hex().to_string())
}

/// The most memory that the process has had in use, in bytes; 0 where the system does not tell.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0).saturating_mul(1024)
}
