//! EXIF, a TIFF structure: texts such as `prompt:{...}` in its first directory.

use super::{Texts, wanted};

const PREFIX: &[u8] = b"Exif\0\0";
/// The type of an entry that is a text.
const ASCII: u16 = 2;

/// Takes the texts of the first directory, each split at its first colon. Of several with one keyword the first
/// counts: entries may share their bytes, so that the rest are not even looked at.
pub(super) fn texts(data: &[u8], found: &mut Texts) {
    let bytes = data.strip_prefix(PREFIX).unwrap_or(data);
    let tiff = Tiff { bytes, little: bytes.starts_with(b"II") };
    if tiff.texts(found).is_none() {
        found.problem("the EXIF data are damaged");
    }
}

/// A TIFF structure, in either byte order.
struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl<'a> Tiff<'a> {
    fn short(&self, at: usize) -> Option<u16> {
        let bytes: [u8; 2] = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<usize> {
        let bytes: [u8; 4] = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }).ok()
    }

    fn texts(&self, found: &mut Texts) -> Option<()> {
        let directory = self.long(4)?;
        for entry in 0..usize::from(self.short(directory)?) {
            let at = directory + 2 + 12 * entry;
            if self.short(at + 2)? != ASCII {
                continue;
            }
            if let Some((keyword, text)) = split(self.text(at)?)
                && !found.by_keyword.contains_key(keyword)
            {
                let end = text.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
                found.keep(keyword, &text[..end]);
            }
        }
        Some(())
    }

    fn text(&self, entry: usize) -> Option<&'a [u8]> {
        let length = self.long(entry + 4)?;
        // Four bytes or fewer stand in the entry itself.
        let start = if length > 4 { self.long(entry + 8)? } else { entry + 8 };
        self.bytes.get(start..start.checked_add(length)?)
    }
}

/// The keyword before the first colon, if it is a wanted one, and the text behind it.
fn split(text: &[u8]) -> Option<(&'static str, &[u8])> {
    let colon = text.iter().take(16).position(|b| *b == b':')?;
    let keyword = wanted(std::str::from_utf8(&text[..colon]).ok()?)?;
    Some((keyword, &text[colon + 1..]))
}
