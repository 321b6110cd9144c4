//! GLB: `asset.extras` of the JSON chunk.

use serde_json::Value;

use super::bytes::Bytes;
use super::{Texts, json};

pub(super) fn recognise(bytes: &[u8]) -> bool {
    bytes.starts_with(b"glTF")
}

pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    let mut rest = Bytes(bytes);
    let chunk = rest.take(12).and_then(|_| Some((rest.little(4)?, rest.take(4)?)));
    let Some((length, b"JSON")) = chunk else {
        found.cut_off();
        return found;
    };
    let Some(chunk) = rest.take(length) else {
        found.cut_off();
        return found;
    };
    match json::parse(chunk) {
        Ok((json, _)) => {
            if let Some(Value::Object(extras)) = json.pointer("/asset/extras") {
                found.keep_object(extras);
            }
        }
        Err(error) => found.problem(format!("the model's description is no JSON: {error}")),
    }
    found
}
