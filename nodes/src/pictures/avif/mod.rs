//! AVIF, still and animated, as Pillow reads it through libavif: boxes through `mp4-atom`, pictures through rav1d.

mod av1;
mod boxes;
mod colour;
mod items;
mod sequence;
mod track;

use anyhow::{Result, bail, ensure};

use super::frame::{Budget, Frame};
use super::orientation::{from_exif, from_xmp};
use av1::Planes;
use boxes::{Boxes, DAMAGED};
use colour::Meaning;
use items::{Item, Items};

/// A picture's size in pixels.
pub(super) type Size = (u32, u32);

/// Whether a file begins as an AVIF file may.
pub(super) fn is(head: &[u8]) -> bool {
    const BRANDS: [&[u8]; 4] = [b"avif", b"avis", b"mif1", b"msf1"];
    head.get(4..8) == Some(b"ftyp") && head.get(8..12).is_some_and(|brand| BRANDS.contains(&brand))
}

/// All frames of an AVIF file and the orientation to turn them by, as EXIF counts it.
///
/// # Errors
/// If the file is damaged, cut off, of a kind that is not read, or larger than `budget` allows.
pub(super) fn frames(bytes: &[u8], budget: &mut Budget) -> Result<(Vec<Frame>, u32)> {
    let boxes = Boxes::of(bytes)?;
    match &boxes.movie {
        Some(movie) if boxes.is_sequence => Ok((track::frames(bytes, movie, budget)?, 1)),
        _ => {
            let items = Items::of(bytes, &boxes)?;
            Ok((vec![still(&items, budget)?], orientation(&items)))
        }
    }
}

/// The picture that the file names as its main one.
fn still(items: &Items, budget: &mut Budget) -> Result<Frame> {
    let main = items.main()?;
    let colours = planes(items, &main, budget)?;
    let alpha = match items.alpha_of(main.id) {
        Some(alpha) => Some(planes(items, &alpha, budget)?),
        None => None,
    };
    let meaning = main.meaning.unwrap_or(colours.meaning);
    let premultiplied = alpha.is_some() && items.is_premultiplied(main.id);
    colour::frame(&colours, meaning, alpha, premultiplied)
}

/// The samples of an item: one AV1 picture, or a grid of them.
fn planes(items: &Items, item: &Item, budget: &mut Budget) -> Result<Planes> {
    match &item.kind {
        b"av01" => single(items, item, budget),
        b"grid" => grid(items, item, budget),
        kind => bail!(
            "is an avif file whose picture is of the kind {}, which is not read: export it as png",
            String::from_utf8_lossy(kind).escape_default()
        ),
    }
}

fn single(items: &Items, item: &Item, budget: &mut Budget) -> Result<Planes> {
    let (width, height) = item.size()?;
    budget.take(width, height)?;
    let planes = av1::Decoder::new((width, height))?.next(items.data(item.id)?)?;
    ensure!(
        (planes.width, planes.height) == (width as usize, height as usize),
        "is an avif file that stretches its picture, which is not read: export it as png"
    );
    Ok(planes)
}

/// Pictures of one size side by side, row by row, cut to the size that the grid has.
fn grid(items: &Items, item: &Item, budget: &mut Budget) -> Result<Planes> {
    /// The least width and height of a part: it bounds how many there are.
    const LEAST: u32 = 64;
    let (columns, rows, (width, height)) = items.grid(item.id)?;
    let parts = items.parts(item.id);
    ensure!(parts.len() as u64 == u64::from(columns) * u64::from(rows), DAMAGED);
    let mut whole: Option<Planes> = None;
    for (place, id) in (0u32..).zip(parts) {
        let part = items.item(*id)?;
        ensure!(&part.kind == b"av01", DAMAGED);
        let (wide, high) = part.size()?;
        let fits = |part: u32, count: u32, all: u32| {
            let (part, count, all) = (u64::from(part), u64::from(count), u64::from(all));
            (count == 1 || part >= u64::from(LEAST)) && part * count >= all && part * (count - 1) < all
        };
        ensure!(fits(wide, columns, width) && fits(high, rows, height), DAMAGED);
        let planes = single(items, &part, budget)?;
        let whole = whole.get_or_insert_with(|| planes.empty(width as usize, height as usize));
        whole.put(&planes, place % columns * wide, place / columns * high)?;
    }
    whole.ok_or_else(|| anyhow::anyhow!(DAMAGED))
}

/// The orientation that the file says in its own boxes. Where it says none, that in its XMP data counts, unless its EXIF data name one.
fn orientation(items: &Items) -> u32 {
    let Ok(main) = items.main() else { return 1 };
    let turned = main.orientation();
    if turned != 1 || items.exif(main.id).as_deref().and_then(from_exif).is_some() {
        return turned;
    }
    items.xmp(main.id).as_deref().and_then(from_xmp).unwrap_or(1)
}
