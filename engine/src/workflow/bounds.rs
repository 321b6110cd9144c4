//! How large a file may become when it is expanded: a few kilobytes can describe more than any memory holds.

use serde_json::Value;

use super::types::ReadError;

/// How many nodes there may be together when every instance is expanded.
pub(super) const MAX_NODES: usize = 200_000;
/// How deep instances may stand within instances.
pub(super) const MAX_DEPTH: usize = 64;
/// How many bytes, about, the values may take when they are copied to all their places.
const MAX_BYTES: usize = 256 << 20;

pub(super) fn too_many() -> ReadError {
    ReadError::Graph(format!("the workflow has more than {MAX_NODES} nodes when its subgraphs are expanded: split it"))
}

pub(super) fn too_deep(what: &str) -> ReadError {
    ReadError::Graph(format!("{what} stand more than {MAX_DEPTH} deep within each other: flatten some"))
}

/// What is left of the bytes that an expansion may take.
#[derive(Debug)]
pub(super) struct Allowance(usize);

impl Allowance {
    pub(super) fn new() -> Self {
        Self(MAX_BYTES)
    }

    /// Takes bytes off.
    ///
    /// # Errors
    /// When none are left.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), ReadError> {
        let left = self.0.checked_sub(bytes).ok_or_else(|| {
            let limit = MAX_BYTES >> 20;
            ReadError::Graph(format!(
                "the workflow takes more than {limit} MiB when it is expanded: shorten its values"
            ))
        });
        self.0 = left?;
        Ok(())
    }
}

/// About how many bytes a value takes.
pub(super) fn weight(value: &Value) -> usize {
    const EACH: usize = 32;
    EACH + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| EACH + key.len() + weight(value)).sum(),
        _ => 0,
    }
}
