//! MP4 and QuickTime: the tags that ffmpeg writes with `movflags use_metadata_tags`, and the comment of other writers.

use super::Texts;
use super::bytes::Bytes;
use super::isobmff::{Boxes, meta_children};

/// How many keys are looked at.
const MAX_KEYS: usize = 4096;

pub(super) fn recognise(bytes: &[u8]) -> bool {
    matches!(bytes.get(4..8), Some(b"ftyp" | b"moov"))
}

/// Reads `moov/udta/meta` and `moov/meta`: names in `keys`, values in `ilst`.
pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    walk(bytes, 0, &mut found);
    found
}

fn walk(bytes: &[u8], depth: usize, found: &mut Texts) {
    let mut boxes = Boxes::of(bytes);
    for (kind, content) in &mut boxes {
        match &kind {
            b"moov" if depth == 0 => walk(content, 1, found),
            b"udta" if depth == 1 => walk(content, 2, found),
            b"meta" if depth > 0 => meta(meta_children(content), found),
            _ => {}
        }
    }
    // A list in user data may end with four zeros.
    if boxes.cut && depth == 0 {
        found.cut_off();
    }
}

fn meta(children: &[u8], found: &mut Texts) {
    let keys = Boxes::first(children, b"keys").map(keys).unwrap_or_default();
    for (kind, item) in Boxes::first(children, b"ilst").into_iter().flat_map(Boxes::of) {
        let number = usize::try_from(u32::from_be_bytes(kind)).ok().and_then(|number| number.checked_sub(1));
        let key = match number.and_then(|number| keys.get(number)) {
            Some(key) => key,
            None if kind == *b"\xa9cmt" => "comment",
            None => continue,
        };
        // A type and a language stand before the value.
        if let Some(text) = Boxes::first(item, b"data").and_then(|data| data.get(8..)) {
            found.keep(key, text);
        }
    }
}

/// The names, the first of which is number 1. One that is no text is empty.
fn keys(content: &[u8]) -> Vec<&str> {
    let mut rest = Bytes(content);
    let count = rest.take(4).and_then(|_| rest.big(4)).unwrap_or(0);
    let mut keys = Vec::new();
    for _ in 0..count.min(MAX_KEYS) {
        let entry = rest.big(4).and_then(|length| rest.take(length.checked_sub(4)?));
        let Some(entry) = entry else { break };
        keys.push(entry.get(4..).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default());
    }
    keys
}
