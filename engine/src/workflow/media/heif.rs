//! AVIF and HEIF: an item of type `Exif`.

use super::bytes::Bytes;
use super::isobmff::{Boxes, meta_children};
use super::{Texts, exif};

const BRANDS: [&[u8; 4]; 7] = [b"avif", b"avis", b"heic", b"heix", b"heif", b"mif1", b"msf1"];

pub(super) fn recognise(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"ftyp") && bytes.get(8..12).is_some_and(|brand| BRANDS.iter().any(|b| *b == brand))
}

/// Reads the EXIF data of the first item that is such, wherever its parts lie.
pub(super) fn texts(bytes: &[u8]) -> Texts {
    let mut found = Texts::default();
    let Some(meta) = Boxes::first(bytes, b"meta").map(meta_children) else {
        found.cut_off();
        return found;
    };
    let Some(item) = Boxes::first(meta, b"iinf").and_then(exif_item) else { return found };
    match Boxes::first(meta, b"iloc").and_then(|iloc| item_data(iloc, item, bytes, Boxes::first(meta, b"idat"))) {
        // The data begin with how far behind the TIFF header stands, and then mostly repeat EXIF's prefix.
        Some(data) => {
            let mut rest = Bytes(&data);
            let data = rest.big(4).and_then(|skip| rest.0.get(skip..)).unwrap_or_default();
            exif::texts(data, &mut found);
        }
        None => found.problem("the file's EXIF data cannot be found in it"),
    }
    found
}

/// The id of the item whose type is `Exif`.
fn exif_item(iinf: &[u8]) -> Option<usize> {
    let mut rest = Bytes(iinf);
    let width = if rest.big(4)? >> 24 == 0 { 2 } else { 4 };
    rest.take(width)?;
    Boxes::of(rest.0).filter(|(kind, _)| kind == b"infe").find_map(|(_, entry)| {
        let mut entry = Bytes(entry);
        let version = entry.big(4)? >> 24;
        let id = entry.big(if version < 3 { 2 } else { 4 })?;
        entry.take(2)?;
        (version >= 2 && entry.take(4)? == b"Exif").then_some(id)
    })
}

/// The bytes of an item, which lie in parts of the file or of the `idat` box. Together they are never more than those.
fn item_data(iloc: &[u8], item: usize, file: &[u8], idat: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut rest = Bytes(iloc);
    let version = rest.big(4)? >> 24;
    let sizes = rest.big(2)?;
    let (offset_size, length_size, base_size) = (sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15);
    let index_size = if version == 0 { 0 } else { sizes & 15 };
    if [offset_size, length_size, base_size, index_size].into_iter().any(|size| size > 8) {
        return None;
    }
    let wide = if version < 2 { 2 } else { 4 };
    for _ in 0..rest.big(wide)? {
        let id = rest.big(wide)?;
        let method = if version == 0 { 0 } else { rest.big(2)? & 15 };
        rest.take(2)?;
        let base = rest.big(base_size)?;
        let extents = rest.big(2)?;
        if id != item {
            rest.take(extents * (index_size + offset_size + length_size))?;
            continue;
        }
        let place = if method == 0 { file } else { idat.filter(|_| method == 1)? };
        let mut data = Vec::new();
        for _ in 0..extents {
            rest.take(index_size)?;
            let start = base.checked_add(rest.big(offset_size)?)?;
            let length = rest.big(length_size)?;
            let end = if length == 0 { place.len() } else { start.checked_add(length)? };
            let part = place.get(start..end)?;
            if data.len() + part.len() > place.len() {
                return None;
            }
            data.extend_from_slice(part);
        }
        return Some(data);
    }
    None
}
