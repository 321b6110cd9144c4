//! FLAC: a block of Vorbis comments.

use super::bytes::Bytes;
use super::{Texts, vorbis};

/// The type of a metadata block with comments.
pub(super) const COMMENTS: usize = 4;

pub(super) fn recognise(bytes: &[u8]) -> bool {
    bytes.starts_with(b"fLaC")
}

pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    let mut rest = Bytes(bytes.get(4..).unwrap_or_default());
    loop {
        let kind = rest.big(1);
        let block = rest.big(3).and_then(|length| rest.take(length));
        let (Some(kind), Some(block)) = (kind, block) else {
            found.cut_off();
            return found;
        };
        if kind & 0x7f == COMMENTS {
            vorbis::comments(block, &mut found);
        }
        if kind & 0x80 != 0 {
            return found;
        }
    }
}
