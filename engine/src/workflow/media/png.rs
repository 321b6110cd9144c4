//! The texts that ComfyUI writes into PNG files.

use std::io::Cursor;

use super::{MAX_JSON, Texts, wanted};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A one by one grey picture's header: what the decoder wants to see before a text.
const TINY_HEADER: &[u8] = b"\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55";
const EMPTY_DATA: &[u8] = b"\0\0\0\0IDAT\x35\xaf\x06\x1e";

/// How many packed texts are unpacked.
const MAX_PACKED: usize = 8;

pub(super) fn recognise(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Reads the `tEXt`, `zTXt`, `iTXt` and `comf` chunks, wherever they stand. Checksums are not checked, and the
/// picture itself is never decoded; a file that is cut off gives what stands before the cut.
pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    let mut packed = 0;
    let mut rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((kind, after)) = after.split_first_chunk::<4>() else { break };
        let Some(data) = after.get(..length) else {
            let kind = String::from_utf8_lossy(kind).into_owned();
            found.problem(format!("the picture is cut off within its chunk `{}`", kind.escape_debug()));
            break;
        };
        let keyword = data.split(|b| *b == 0).next().unwrap_or_default();
        if matches!(kind, b"tEXt" | b"comf" | b"iTXt" | b"zTXt")
            && let Some(keyword) = std::str::from_utf8(keyword).ok().and_then(wanted)
        {
            let text = match kind {
                b"tEXt" | b"comf" => Ok(latin(data.get(keyword.len() + 1..).unwrap_or_default())),
                _ if packed == MAX_PACKED => Err(format!("there are more than {MAX_PACKED} texts that are packed")),
                _ => {
                    packed += 1;
                    compressed(kind, data)
                }
            };
            match text {
                Ok(text) => found.keep(keyword, text.as_bytes()),
                Err(problem) => found.problem(problem),
            }
        }
        rest = after.get(length.saturating_add(4)..).unwrap_or_default();
    }
    found
}

/// The standard says Latin-1; ComfyUI writes ASCII, and other programs write UTF-8.
fn latin(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(|b| char::from(*b)).collect(), str::to_owned)
}

/// A `zTXt` or `iTXt` chunk, read by the decoder as the only text of a tiny picture.
fn compressed(kind: &[u8; 4], data: &[u8]) -> Result<String, String> {
    let name = String::from_utf8_lossy(kind);
    let failed = |why: &dyn std::fmt::Display| format!("a text chunk `{name}` cannot be read: {why}");
    let length = u32::try_from(data.len()).map_err(|e| failed(&e))?;
    let picture = [SIGNATURE, TINY_HEADER, &length.to_be_bytes(), kind, data, &[0; 4], EMPTY_DATA].concat();
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(picture), png::Limits { bytes: 2 * MAX_JSON });
    decoder.ignore_checksums(true);
    let reader = decoder.read_info().map_err(|e| failed(&e))?;
    let info = reader.info();
    if let Some(chunk) = info.compressed_latin1_text.first() {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(MAX_JSON).map_err(|e| failed(&e))?;
        return chunk.get_text().map_err(|e| failed(&e));
    }
    if let Some(chunk) = info.utf8_text.first() {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(MAX_JSON).map_err(|e| failed(&e))?;
        return chunk.get_text().map_err(|e| failed(&e));
    }
    Err(failed(&"it is damaged"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn picture(change: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(png::ColorType::Grayscale);
        change(&mut encoder);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0]).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn all_kinds_of_text_are_read() {
        let mut bytes = picture(|encoder| {
            encoder.add_text_chunk("prompt".into(), "plain".into()).unwrap();
            encoder.add_ztxt_chunk("parameters".into(), "deflated ".repeat(100)).unwrap();
            encoder.add_itxt_chunk("workflow".into(), "größe 图".into()).unwrap();
        });
        // After IEND, where APNG writers put it.
        bytes.extend(b"\0\0\0\x0acomfComment\0hi\0\0\0\0");
        let found = texts(&bytes);
        assert_eq!(found.by_keyword["prompt"], "plain");
        assert_eq!(found.by_keyword["parameters"], "deflated ".repeat(100));
        assert_eq!(found.by_keyword["workflow"], "größe 图");
        assert_eq!(found.by_keyword["comment"], "hi");
        assert!(found.problems.is_empty(), "{:?}", found.problems);
    }

    #[test]
    fn a_bomb_is_refused() {
        let bytes = picture(|encoder| {
            encoder.add_ztxt_chunk("prompt".into(), " ".repeat(MAX_JSON + 1000)).unwrap();
        });
        assert!(bytes.len() < 1 << 20);
        let found = texts(&bytes);
        assert!(found.by_keyword.is_empty());
        assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
    }

    #[test]
    fn what_stands_before_a_cut_is_read() {
        let mut bytes = picture(|encoder| encoder.add_text_chunk("prompt".into(), "plain".into()).unwrap());
        bytes.truncate(bytes.len() - 20);
        let found = texts(&bytes);
        assert_eq!(found.by_keyword["prompt"], "plain");
        assert_eq!(found.problems, ["the picture is cut off within its chunk `IDAT`"]);
    }
}
