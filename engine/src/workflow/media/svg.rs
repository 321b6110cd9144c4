//! SVG: JSON in a CDATA section of `<metadata>`.

use serde_json::Value;

use super::bytes::find;
use super::{Texts, json};

/// How far into the file the `<svg` may stand.
const HEAD: usize = 4096;

pub(super) fn recognise(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    bytes.starts_with(b"<") && find(&bytes[..bytes.len().min(HEAD)], b"<svg").is_some()
}

pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    let Some(start) = find(bytes, b"<metadata") else { return found };
    let Some(section) = section(&bytes[start..]) else { return found };
    match json::parse(section.trim_ascii()) {
        Ok((Value::Object(object), _)) => found.keep_object(&object),
        Ok(_) => {}
        Err(error) => found.problem(format!("the drawing's metadata are no JSON: {error}")),
    }
    found
}

/// The CDATA section. ComfyUI does not escape a `]]>` within the JSON: the section's end is the one before the tag's.
fn section(metadata: &[u8]) -> Option<&[u8]> {
    let open = find(metadata, b"<![CDATA[")? + 9;
    let content = &metadata[open..];
    let mut from = 0;
    while let Some(end) = find(&content[from..], b"]]>").map(|at| from + at) {
        if content[end + 3..].trim_ascii_start().starts_with(b"</metadata") {
            return Some(&content[..end]);
        }
        from = end + 3;
    }
    None
}
