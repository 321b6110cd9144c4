//! Safetensors (`.latent`, checkpoints, LoRAs): `__metadata__` of the header.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use super::bytes::Bytes;
use super::{MAX_JSON, Texts};

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    metadata: IndexMap<String, Value>,
}

pub(super) fn recognise(bytes: &[u8]) -> bool {
    header(bytes).is_some()
}

/// The length of the header that follows the first eight bytes, if these are the beginning of such a file.
pub(super) fn header(start: &[u8]) -> Option<u64> {
    let mut rest = Bytes(start);
    let length = rest.little(8)?;
    // Text would give a far larger number.
    (rest.0.first() == Some(&b'{') && (2..=MAX_JSON).contains(&length)).then_some(length as u64)
}

pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    let mut rest = Bytes(bytes);
    let Some(header) = rest.little(8).and_then(|length| rest.take(length)) else {
        found.cut_off();
        return found;
    };
    match serde_json::from_slice::<Header>(header) {
        Ok(header) => found.keep_object(&header.metadata.into_iter().collect()),
        Err(error) => found.problem(format!("the file's header is damaged: {error}")),
    }
    found
}
