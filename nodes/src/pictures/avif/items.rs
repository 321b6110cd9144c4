//! Pictures and what belongs to them, as a file's `meta` box lists them.

use anyhow::{Context, Result, ensure};
use mp4_atom::{Any, Auxc, Colr, Iinf, Iloc, Imir, Iprp, Iref, Irot, Ispe, ItemLocation, Meta, Pitm};

use super::boxes::{Boxes, CUT, DAMAGED};
use super::{Meaning, Size};

/// A file's items.
pub(super) struct Items<'a> {
    file: &'a [u8],
    meta: &'a Meta,
}

/// A picture, or part of one.
pub(super) struct Item {
    pub(super) id: u32,
    pub(super) kind: [u8; 4],
    size: Option<Size>,
    /// How its samples stand for colours, if the file says so beside the picture.
    pub(super) meaning: Option<Meaning>,
    /// Turns to the left by 90°.
    turns: Option<u8>,
    /// 0: top and bottom change places; otherwise left and right.
    mirror: Option<u8>,
}

impl Item {
    pub(super) fn size(&self) -> Result<Size> {
        self.size.context(DAMAGED)
    }

    /// The EXIF orientation of turning first and then mirroring.
    pub(super) fn orientation(&self) -> u32 {
        match (self.turns.unwrap_or(0), self.mirror) {
            (0, None) => 1,
            (1, None) => 8,
            (2, None) => 3,
            (_, None) => 6,
            (0, Some(0)) | (2, Some(1..)) => 4,
            (0, Some(_)) | (2, Some(0)) => 2,
            (1, Some(0)) | (3, Some(1..)) => 5,
            (_, Some(_)) => 7,
        }
    }
}

impl<'a> Items<'a> {
    pub(super) fn of(file: &'a [u8], boxes: &'a Boxes) -> Result<Items<'a>> {
        let meta = boxes.meta.as_ref().context(if file.len() < 1024 { CUT } else { DAMAGED })?;
        Ok(Items { file, meta })
    }

    /// The item that is the picture.
    pub(super) fn main(&self) -> Result<Item> {
        self.item(self.meta.get::<Pitm>().context(DAMAGED)?.item_id)
    }

    pub(super) fn item(&self, id: u32) -> Result<Item> {
        let kind = self.kind(id).context(DAMAGED)?;
        let mut item = Item { id, kind, size: None, meaning: None, turns: None, mirror: None };
        for property in self.properties(id) {
            match property {
                Any::Ispe(Ispe { width, height }) => item.size = item.size.or(Some((*width, *height))),
                Any::Irot(Irot { angle }) => item.turns = Some(angle & 3),
                Any::Imir(Imir { axis }) => item.mirror = Some(axis & 1),
                Any::Colr(colr) => item.meaning = item.meaning.or_else(|| meaning(colr)),
                _ => {}
            }
        }
        Ok(item)
    }

    fn kind(&self, id: u32) -> Option<[u8; 4]> {
        let info = self.meta.get::<Iinf>()?.item_infos.iter().find(|info| info.item_id == id)?;
        Some(info.item_type?.into())
    }

    fn properties(&self, id: u32) -> impl Iterator<Item = &'a Any> {
        let iprp = self.meta.get::<Iprp>();
        let all = iprp.map(|iprp| iprp.ipco.properties.as_slice()).unwrap_or_default();
        let lists = iprp.map(|iprp| iprp.ipma.as_slice()).unwrap_or_default();
        let of_item = lists.iter().flat_map(|list| &list.item_properties).filter(move |of| of.item_id == id);
        // They are counted from 1.
        let numbers = of_item.flat_map(|of| &of.associations).map(|one| usize::from(one.property_index));
        numbers.filter_map(|number| all.get(number.checked_sub(1)?))
    }

    /// References of a kind: from which item, and to which.
    fn references(&self, kind: &'static [u8; 4]) -> impl Iterator<Item = (u32, &'a [u32])> {
        let all = self.meta.get::<Iref>().map(|iref| iref.references.as_slice()).unwrap_or_default();
        let of_kind = all.iter().filter(move |one| <[u8; 4]>::from(one.reference_type) == *kind);
        of_kind.map(|one| (one.from_item_id, one.to_item_ids.as_slice()))
    }

    /// The parts of a grid, row by row.
    pub(super) fn parts(&self, id: u32) -> &'a [u32] {
        self.references(b"dimg").find(|(from, _)| *from == id).map(|(_, to)| to).unwrap_or_default()
    }

    /// The item that holds the opacity of another.
    pub(super) fn alpha_of(&self, id: u32) -> Option<Item> {
        let mut beside = self.references(b"auxl").filter(|(_, to)| to.contains(&id));
        let (alpha, _) = beside.find(|(from, _)| self.properties(*from).any(is_alpha))?;
        self.item(alpha).ok()
    }

    /// Whether an item's colours are multiplied by its opacity.
    pub(super) fn is_premultiplied(&self, id: u32) -> bool {
        self.references(b"prem").any(|(from, _)| from == id)
    }

    /// A picture's EXIF data.
    pub(super) fn exif(&self, id: u32) -> Option<Vec<u8>> {
        let data = self.beside(id, b"Exif")?;
        // The offset of what follows it.
        let (offset, rest) = data.split_first_chunk::<4>()?;
        Some(rest.get(u32::from_be_bytes(*offset) as usize..)?.to_vec())
    }

    /// A picture's XMP data.
    pub(super) fn xmp(&self, id: u32) -> Option<Vec<u8>> {
        self.beside(id, b"mime")
    }

    /// The data of the first item of a kind that describes another.
    fn beside(&self, id: u32, kind: &[u8; 4]) -> Option<Vec<u8>> {
        let mut describing = self.references(b"cdsc").filter(|(_, to)| to.contains(&id));
        let (from, _) = describing.find(|(from, _)| self.kind(*from).as_ref() == Some(kind))?;
        self.data(from).ok()
    }

    /// A grid's columns, rows and size.
    pub(super) fn grid(&self, id: u32) -> Result<(u32, u32, Size)> {
        let data = self.data(id)?;
        let &[_, flags, rows, columns, ref size @ ..] = data.as_slice() else { return Err(anyhow::anyhow!(DAMAGED)) };
        let size = match (flags & 1, size) {
            (0, &[a, b, c, d, ..]) => (u16::from_be_bytes([a, b]).into(), u16::from_be_bytes([c, d]).into()),
            (1, &[a, b, c, d, e, f, g, h, ..]) => (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])),
            _ => return Err(anyhow::anyhow!(DAMAGED)),
        };
        Ok((u32::from(columns) + 1, u32::from(rows) + 1, size))
    }

    /// An item's content, its pieces put together.
    pub(super) fn data(&self, id: u32) -> Result<Vec<u8>> {
        let locations = &self.meta.get::<Iloc>().context(DAMAGED)?.item_locations;
        let location = locations.iter().find(|location| location.item_id == id).context(DAMAGED)?;
        let ItemLocation { construction_method, base_offset, extents, .. } = location;
        let source = match construction_method {
            0 => self.file,
            1 => self.meta.get::<mp4_atom::Idat>().context(DAMAGED)?.data.as_slice(),
            _ => return Err(anyhow::anyhow!(DAMAGED)),
        };
        let mut data = Vec::new();
        for extent in extents {
            let begin = base_offset.checked_add(extent.offset).and_then(|at| usize::try_from(at).ok()).context(CUT)?;
            let rest = source.get(begin..).context(CUT)?;
            let length = usize::try_from(extent.length).context(CUT)?;
            // Without a length a piece goes on to the end.
            let piece = if length == 0 { rest } else { rest.get(..length).context(CUT)? };
            // Pieces that lie over each other could add up to any length.
            ensure!(data.len() + piece.len() <= source.len(), DAMAGED);
            data.extend_from_slice(piece);
        }
        ensure!(!data.is_empty(), CUT);
        Ok(data)
    }
}

/// What a colour property says of samples; nothing if it is a profile.
pub(super) fn meaning(colr: &Colr) -> Option<Meaning> {
    match *colr {
        Colr::Nclx { colour_primaries, matrix_coefficients, full_range_flag, .. } => {
            Some(Meaning { primaries: colour_primaries, matrix: matrix_coefficients, full: full_range_flag })
        }
        _ => None,
    }
}

/// Whether a property marks an item as opacity.
fn is_alpha(property: &Any) -> bool {
    const NAMES: [&str; 2] = ["urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", "urn:mpeg:hevc:2015:auxid:1"];
    matches!(property, Any::Auxc(Auxc { aux_type, .. }) if NAMES.contains(&aux_type.as_str()))
}
