//! Group nodes, the predecessor of subgraphs.

use serde_json::{Map, Value};

use super::build::Builder;
use super::graph::Node;
use super::{ReadError, ui};

pub(super) fn definition<'a>(class: &str, groups: Option<&'a Map<String, Value>>) -> Option<&'a Value> {
    let name = class.strip_prefix("workflow>").or_else(|| class.strip_prefix("workflow/"))?;
    groups?.get(name)
}

pub(super) fn instance(
    _builder: &mut Builder<'_>,
    _definition: &Value,
    _raw: &ui::Node,
    _depth: usize,
) -> Result<Node, ReadError> {
    Err(ReadError::Graph("group".into()))
}
