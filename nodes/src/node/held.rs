//! Files that a widget of the editor holds: taken by its camera or its recorder, and stored. Such a widget lists no files.

use redraft_engine::io::{Misfit, Value};
use redraft_engine::node::Fingerprint;
use serde_json::Value as Json;

/// The name of such a file; `missing` says what to do where there is none.
pub(super) fn name(value: &Value, missing: &str) -> Result<String, Misfit> {
    let constant = value.downcast::<Json>().and_then(Json::as_str).map(str::to_owned);
    constant.or_else(|| value.downcast::<String>().cloned()).ok_or_else(|| Misfit::Value(missing.to_owned()))
}

/// What outputs made of such a file depend on: its name says nothing of its content, so that they are never taken from another run.
pub(super) const FINGERPRINT: Fingerprint = Fingerprint::Never;
