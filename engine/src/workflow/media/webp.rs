//! The texts that ComfyUI writes into WebP files: EXIF strings such as `prompt:{...}`.

use super::{Texts, exif};

pub(super) fn recognise(bytes: &[u8]) -> bool {
    matches!(bytes, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..])
}

/// Reads the texts of all `EXIF` chunks. A file that is cut off gives what stands before the cut.
pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((kind, after)) = rest.split_first_chunk::<4>() {
        let Some((length, after)) = after.split_first_chunk::<4>() else { break };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some(data) = after.get(..length) else {
            found.cut_off();
            break;
        };
        if kind == b"EXIF" {
            exif::texts(data, &mut found);
        }
        // Chunks are padded to an even length.
        rest = after.get(length.saturating_add(length % 2)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
pub(in crate::workflow) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A WebP file without a picture, with these EXIF texts.
    pub(in crate::workflow) fn file(texts: &[&str], little: bool) -> Vec<u8> {
        let short = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let long = |v: usize| {
            let v = u32::try_from(v).unwrap();
            if little { v.to_le_bytes() } else { v.to_be_bytes() }
        };
        let mut tiff = if little { b"II".to_vec() } else { b"MM".to_vec() };
        tiff.extend(short(42));
        tiff.extend(long(8));
        tiff.extend(short(u16::try_from(texts.len()).unwrap()));
        let mut data = Vec::new();
        let start = 8 + 2 + 12 * texts.len() + 4;
        for (number, text) in texts.iter().enumerate() {
            tiff.extend(short(0x0110 - u16::try_from(number).unwrap()));
            tiff.extend(short(2));
            tiff.extend(long(text.len() + 1));
            tiff.extend(long(start + data.len()));
            data.extend(text.bytes().chain([0]));
        }
        tiff.extend(long(0));
        tiff.extend(data);
        let mut chunks = b"EXIF".to_vec();
        chunks.extend(u32::try_from(tiff.len()).unwrap().to_le_bytes());
        chunks.extend(&tiff);
        [b"RIFF", &u32::try_from(chunks.len() + 4).unwrap().to_le_bytes()[..], b"WEBP", &chunks].concat()
    }

    #[test]
    fn texts_are_read_in_either_byte_order() {
        for little in [true, false] {
            let found = texts(&file(&["prompt:{\"a\": 1}", "Workflow:{}", "no colon"], little));
            assert_eq!(found.by_keyword["prompt"], "{\"a\": 1}");
            assert_eq!(found.by_keyword["workflow"], "{}");
            assert_eq!(found.by_keyword.len(), 2);
            assert!(found.problems.is_empty());
        }
    }

    #[test]
    fn damage_is_told_of() {
        let mut bytes = file(&["prompt:{}"], true);
        bytes.truncate(bytes.len() - 3);
        assert_eq!(texts(&bytes).problems, ["the file is cut off"]);
        let mut bytes = file(&["prompt:{}"], true);
        // The length of the text, far beyond the chunk.
        bytes[36] = 0xff;
        assert_eq!(texts(&bytes).problems, ["the EXIF data are damaged"]);
    }
}
