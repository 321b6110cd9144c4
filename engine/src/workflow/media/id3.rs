//! MP3: the frames `TXXX` (a keyword and a text) of an ID3 tag, versions 2.2 to 2.4.

use std::borrow::Cow;

use super::Texts;
use super::bytes::{Bytes, find};

pub(super) fn recognise(bytes: &[u8]) -> bool {
    bytes.starts_with(b"ID3")
}

pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    let mut rest = Bytes(bytes);
    let header = rest.take(10);
    let Some(&[_, _, _, version, _, flags, a, b, c, d]) = header else {
        found.cut_off();
        return found;
    };
    let size = synchsafe(&[a, b, c, d]);
    if rest.0.len() < size {
        found.cut_off();
    }
    let tag = &rest.0[..size.min(rest.0.len())];
    // Up to version 2.3 the tag as a whole is kept free of what looks like a frame of sound, later each frame.
    let tag = if flags & 0x80 != 0 && version < 4 { synchronised(tag) } else { Cow::Borrowed(tag) };
    if frames(&tag, version, flags & 0x40 != 0, &mut found).is_none() {
        found.problem("the file's tags are damaged");
    }
    found
}

fn frames(tag: &[u8], version: u8, extended: bool, found: &mut Texts) -> Option<()> {
    let mut rest = Bytes(tag);
    if extended && version > 2 {
        let length = rest.take(4)?;
        let length = if version == 3 { Bytes(length).big(4)? } else { synchsafe(length).checked_sub(4)? };
        rest.take(length)?;
    }
    let width = if version == 2 { 3 } else { 4 };
    // Padding is zeros.
    while rest.0.first().is_some_and(|first| *first != 0) && rest.0.len() > width {
        let kind = rest.take(width)?;
        let length = rest.take(width)?;
        let length = if version == 4 { synchsafe(length) } else { Bytes(length).big(width)? };
        let flags = if version == 2 { 0 } else { rest.big(2)? & 0xff };
        let data = rest.take(length)?;
        if kind != b"TXXX" && kind != b"TXX" {
            continue;
        }
        match (version, flags) {
            (_, 0) => user_text(data, found),
            // Kept free of false frames, and a length before the data.
            (4, 1..=3) => {
                let data = if flags & 1 != 0 { data.get(4..)? } else { data };
                user_text(&if flags & 2 != 0 { synchronised(data) } else { Cow::Borrowed(data) }, found);
            }
            _ => found.problem("a tag of the file is packed or encrypted"),
        }
    }
    Some(())
}

/// An encoding, a keyword up to its NUL, a text.
fn user_text(data: &[u8], found: &mut Texts) {
    let Some((encoding, rest)) = data.split_first() else { return };
    let (keyword, text) = if matches!(encoding, 1 | 2) {
        let end = rest.chunks_exact(2).position(|unit| unit == [0, 0]).map(|unit| 2 * unit);
        let Some(end) = end else { return };
        (&rest[..end], &rest[end + 2..])
    } else {
        let Some(end) = find(rest, &[0]) else { return };
        (&rest[..end], &rest[end + 1..])
    };
    // No wanted keyword is longer.
    if keyword.len() <= 32 {
        found.keep(decoded(*encoding, keyword).trim(), decoded(*encoding, text).trim_end_matches('\0').as_bytes());
    }
}

fn decoded(encoding: u8, bytes: &[u8]) -> String {
    match encoding {
        0 => bytes.iter().map(|b| char::from(*b)).collect(),
        1 | 2 => {
            let (big, bytes) = match bytes {
                [0xff, 0xfe, rest @ ..] => (false, rest),
                [0xfe, 0xff, rest @ ..] => (true, rest),
                _ => (encoding == 2, bytes),
            };
            let unit = |pair: &[u8]| if big { [pair[0], pair[1]] } else { [pair[1], pair[0]] };
            let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes(unit(pair)));
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// A number of seven bits in each byte.
fn synchsafe(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f))
}

/// Without the zeros that were put behind bytes of ones.
fn synchronised(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut after_ones = false;
    for byte in bytes {
        if !(after_ones && *byte == 0) {
            out.push(*byte);
        }
        after_ones = *byte == 0xff;
    }
    Cow::Owned(out)
}
