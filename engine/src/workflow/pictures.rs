//! Which bytes are a picture, and the texts in it.

use std::collections::HashMap;

use super::ReadError;

/// What was found in a picture.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// By keyword; of several with one keyword the last counts.
    pub(super) by_keyword: HashMap<String, String>,
    /// What could not be read, in words.
    pub(super) problems: Vec<String>,
}

/// The texts of a picture, or nothing where the bytes are none.
///
/// # Errors
/// When the bytes are a file of a kind whose metadata are not read.
pub(super) fn texts(bytes: &[u8]) -> Option<Result<Texts, ReadError>> {
    if bytes.starts_with(super::png::SIGNATURE) {
        return Some(Ok(super::png::texts(bytes)));
    }
    if super::webp::recognise(bytes) {
        return Some(Ok(super::webp::texts(bytes)));
    }
    let kind = match bytes {
        [0xff, 0xd8, 0xff, ..] => "a JPEG picture",
        [b'G', b'I', b'F', b'8', ..] => "a GIF picture",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x1f, 0x8b, ..] => "a gzip archive",
        _ => return None,
    };
    let text =
        format!("this is {kind}, whose metadata are not read: give a JSON file, or a PNG or WebP that ComfyUI saved");
    Some(Err(ReadError::NoWorkflow(text)))
}
