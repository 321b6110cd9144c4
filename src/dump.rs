//! Tensors that left nodes, by the keys of the conformance cases, and the file that holds them.

use std::collections::HashMap;
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

/// Under which names the header of a dump has the order of the nodes and the workflow.
pub(crate) const ORDER: &str = "order";
pub(crate) const PROMPT: &str = "prompt";

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

    /// Whether anything of a node was taken.
    pub(crate) fn has_outputs_of(&self, node: &NodeId) -> bool {
        let of_node = |key: &String| key.strip_prefix(node.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.tensors.keys().any(of_node) || self.plain.keys().any(of_node)
    }

    /// Writes the tensors as safetensors, aside and then renamed. The header says in which order the nodes were done, and what `prompt`
    /// says they are.
    pub(crate) fn write(&self, path: &Path, prompt: Option<&Json>) -> anyhow::Result<()> {
        let order: Vec<&str> = self.order.iter().map(NodeId::as_str).collect();
        let mut texts = HashMap::from([(ORDER.to_owned(), serde_json::to_string(&order)?)]);
        texts.extend(prompt.map(|prompt| (PROMPT.to_owned(), prompt.to_string())));
        let aside = Aside::of(path)?;
        tensor_file::save_with_texts(aside.path(), self.tensors.iter().map(|(name, t)| (name.as_str(), t)), texts)?;
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
