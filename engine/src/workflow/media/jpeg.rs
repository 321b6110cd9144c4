//! JPEG: EXIF in an `APP1` segment, and comments.

use super::bytes::Bytes;
use super::{Texts, exif};

pub(super) fn recognise(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// Reads the segments before the picture's data.
pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    let mut rest = Bytes(bytes.get(2..).unwrap_or_default());
    loop {
        let marker = rest.take(2);
        match marker {
            // Fill bytes before a marker.
            Some([0xff, 0xff]) => rest.0 = &bytes[bytes.len() - rest.0.len() - 1..],
            // Markers without a segment.
            Some([0xff, 0x01 | 0xd0..=0xd7]) => {}
            // The picture's data, or its end.
            Some([0xff, 0xda | 0xd9]) => break,
            Some([0xff, kind]) => {
                let Some(data) = rest.big(2).and_then(|length| rest.take(length.checked_sub(2)?)) else {
                    found.cut_off();
                    break;
                };
                match kind {
                    0xe1 if data.starts_with(b"Exif\0\0") => exif::texts(data, &mut found),
                    0xfe => found.keep("comment", data.trim_ascii_end()),
                    _ => {}
                }
            }
            _ => {
                found.cut_off();
                break;
            }
        }
    }
    found
}
