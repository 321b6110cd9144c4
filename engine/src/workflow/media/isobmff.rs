//! The boxes of MP4, QuickTime, AVIF and HEIF files: length, kind, content.

use super::bytes::Bytes;

/// The boxes that stand one after the other in `rest`.
pub(super) struct Boxes<'a> {
    rest: Bytes<'a>,
    /// Whether the last box reaches beyond the end. Its content is not given out.
    pub(super) cut: bool,
}

impl<'a> Boxes<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: Bytes(bytes), cut: false }
    }

    /// The content of the first box of a kind.
    pub(super) fn first(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
        Self::of(bytes).find(|(found, _)| found == kind).map(|(_, content)| content)
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.0.is_empty() {
            return None;
        }
        let mut rest = self.rest;
        let mut read = || {
            let length = rest.big(4)?;
            let kind = rest.take(4)?.try_into().ok()?;
            let length = match length {
                0 => rest.0.len(),
                1 => rest.big(8)?.checked_sub(16)?,
                length => length.checked_sub(8)?,
            };
            Some((kind, rest.take(length)?))
        };
        let found = read();
        self.cut = found.is_none();
        self.rest = if found.is_some() { rest } else { Bytes(&[]) };
        found
    }
}

/// The children of a `meta` box, which has a version before them, but not in QuickTime's own files.
pub(super) fn meta_children(content: &[u8]) -> &[u8] {
    if content.get(4..8) == Some(b"hdlr") { content } else { content.get(4..).unwrap_or_default() }
}
