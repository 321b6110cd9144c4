//! WebM and Matroska: `Segment/Tags/Tag/SimpleTag` with `TagName` and `TagString`.

use super::Texts;
use super::bytes::Bytes;

const EBML: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];
const SEGMENT: usize = 0x1853_8067;
const CLUSTER: usize = 0x1f43_b675;
const TAGS: usize = 0x1254_c367;
const TAG: usize = 0x7373;
const SIMPLE_TAG: usize = 0x67c8;
const TAG_NAME: usize = 0x45a3;
const TAG_STRING: usize = 0x4487;

pub(super) fn recognise(bytes: &[u8]) -> bool {
    bytes.starts_with(&EBML)
}

pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    let mut rest = Bytes(bytes);
    while let Some((id, size)) = element(&mut rest) {
        match (id, size) {
            // What the segment holds is read as if it stood outside; so is a cluster that was written without a size.
            (SEGMENT, _) | (CLUSTER, None) => {}
            (TAGS, size) => {
                let length = size.unwrap_or(usize::MAX).min(rest.0.len());
                tags(rest.take(length).unwrap_or_default(), &mut found);
            }
            (_, Some(size)) if rest.take(size).is_some() => {}
            _ => {
                found.cut_off();
                break;
            }
        }
    }
    found
}

fn tags(content: &[u8], found: &mut Texts) {
    let mut rest = Bytes(content);
    let (mut name, mut text) = (None, None);
    // Tags and simple tags are read flat: a name belongs to the string that follows it.
    while let Some((id, size)) = element(&mut rest) {
        if matches!(id, TAG | SIMPLE_TAG) {
            (name, text) = (None, None);
            continue;
        }
        let Some(data) = size.and_then(|size| rest.take(size)) else {
            found.cut_off();
            return;
        };
        match id {
            TAG_NAME => name = Some(data),
            TAG_STRING => text = Some(data),
            _ => {}
        }
        if let (Some(key), Some(value)) = (name, text)
            && let Ok(key) = std::str::from_utf8(key)
        {
            found.keep(key.trim_end_matches('\0'), value);
            (name, text) = (None, None);
        }
    }
}

/// An element's id and size; the size may be unknown.
fn element(rest: &mut Bytes<'_>) -> Option<(usize, Option<usize>)> {
    let id_width = 1 + rest.0.first()?.leading_zeros() as usize;
    let id = rest.big(Some(id_width).filter(|width| *width <= 4)?)?;
    let width = 1 + rest.0.first()?.leading_zeros() as usize;
    let marked = rest.big(Some(width).filter(|width| *width <= 8)?)?;
    let all = (1 << (7 * width)) - 1;
    let size = marked & all;
    Some((id, (size != all).then_some(size)))
}
