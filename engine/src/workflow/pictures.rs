//! Which bytes are a picture, and the texts in it.

use super::ReadError;
pub(super) use super::png::Texts;

/// The texts of a picture, or nothing where the bytes are none.
///
/// # Errors
/// When the bytes are a file of a kind whose metadata are not read.
pub(super) fn texts(bytes: &[u8]) -> Option<Result<Texts, ReadError>> {
    if bytes.starts_with(super::png::SIGNATURE) {
        return Some(Ok(super::png::texts(bytes)));
    }
    let kind = match bytes {
        [0xff, 0xd8, 0xff, ..] => "a JPEG picture",
        [b'G', b'I', b'F', b'8', ..] => "a GIF picture",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "a WebP picture",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x1f, 0x8b, ..] => "a gzip archive",
        _ => return None,
    };
    let text = format!("this is {kind}, whose metadata are not read: give a JSON file, or a PNG that ComfyUI saved");
    Some(Err(ReadError::NoWorkflow(text)))
}
