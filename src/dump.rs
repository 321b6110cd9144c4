//! Tensors that left nodes, by the keys of the conformance cases, and the file that holds them.

use std::path::Path;

use indexmap::IndexMap;
use redraft_engine::aside::Aside;
use redraft_engine::event::{Event, Observer};
use redraft_engine::io::Socket;
use redraft_engine::prompt::NodeId;
use redraft_nodes::files::tensor_file;
use redraft_nodes::values::{Part, parts};
use serde_json::Value as Json;
use tch::Tensor;

/// Everything that left nodes during a run: tensors and plain values under `node/slot[/part]`. A socket with several
/// values numbers them: `node/slot/#1/...`, from the second on.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) tensors: IndexMap<String, Tensor>,
    pub(crate) plain: IndexMap<String, Json>,
    /// Node ids in the order in which they were done.
    pub(crate) order: Vec<NodeId>,
}

impl Taken {
    pub(crate) fn take(&mut self, node: &NodeId, outputs: &[Socket]) {
        self.order.push(node.clone());
        for (slot, socket) in outputs.iter().enumerate() {
            for (n, value) in socket.iter().enumerate() {
                let base = if n == 0 { format!("{node}/{slot}") } else { format!("{node}/{slot}/#{n}") };
                for (suffix, part) in parts(value) {
                    let key = format!("{base}{suffix}");
                    match part {
                        Part::Tensor(tensor) => drop(self.tensors.insert(key, tensor)),
                        Part::Plain(json) => drop(self.plain.insert(key, json)),
                    }
                }
            }
        }
    }

    /// Writes the tensors as safetensors, aside and then renamed.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let aside = Aside::of(path)?;
        tensor_file::save(aside.path(), self.tensors.iter().map(|(name, t)| (name.as_str(), t)))?;
        Ok(aside.stand_over()?)
    }
}

/// Passes events on and keeps what leaves the nodes.
pub(crate) struct Taking<'a, O> {
    pub(crate) inner: O,
    pub(crate) taken: &'a mut Taken,
}

impl<O: Observer> Observer for Taking<'_, O> {
    fn event(&mut self, event: Event) {
        self.inner.event(event);
    }

    fn wants_previews(&self) -> bool {
        self.inner.wants_previews()
    }

    fn outputs(&mut self, node: &NodeId, outputs: &[Socket]) {
        self.taken.take(node, outputs);
    }
}
