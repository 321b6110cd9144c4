//! Contact sheets: the pictures of a sweep side by side, with the values of the axes beside them.
//!
//! One dimension is a row that wraps, two are rows and columns; of more, the last two are, and each combination of the others has a sheet.

use std::path::PathBuf;

use image::imageops;
use image::{Rgb, RgbImage};
use indexmap::IndexMap;
use redraft_engine::aside::Aside;
use redraft_engine::memory;

use super::folder::Folder;
use super::grid::Grid;
use super::layout::{Layout, Place};
use super::lettering::{LINE, Lettering};
use super::table::Row;

/// The most sheets that are made.
const MOST_SHEETS: usize = 1000;
/// A picture on a sheet is at most so wide and high, in pixels.
const LARGEST: u32 = 256;
/// A picture of more pixels is not read for a sheet.
const MOST_PIXELS: u64 = 1 << 28;
/// Where there is no picture.
const EMPTY: Rgb<u8> = Rgb([226, 226, 226]);
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);

/// What a sheet's file is called, the first having the number 0.
pub(super) fn name(number: usize) -> String {
    if number == 0 { "sheet.png".to_owned() } else { format!("sheet-{:04}.png", number + 1) }
}

/// The sheets of a sweep, as far as its cells are done.
pub(super) struct Sheets<'a> {
    pub(super) grid: &'a Grid,
    pub(super) rows: &'a IndexMap<usize, Row>,
    pub(super) folder: &'a Folder,
}

impl Sheets<'_> {
    /// Writes them, and returns their paths. Ends early where `cancelled` says so.
    ///
    /// # Errors
    /// If there would be too many or too large ones, memory or the disk are full.
    pub(super) fn make(&self, cancelled: &dyn Fn() -> bool) -> anyhow::Result<Vec<PathBuf>> {
        let lengths = self.grid.lengths();
        let around: Vec<_> = lengths.iter().rev().skip(2).rev().copied().collect();
        let count: usize = around.iter().product();
        anyhow::ensure!(count <= MOST_SHEETS, "there would be {count} sheets, and {MOST_SHEETS} are the most");
        let layout = Layout::of(self.grid, self.largest())?;
        let lettering = Lettering::new()?;
        let mut made = Vec::new();
        for number in 0..count {
            let outer = place(number, &around);
            let Some(sheet) = self.sheet(&layout, &lettering, &outer, cancelled)? else { break };
            let path = self.folder.path(&name(number));
            let aside = Aside::of(&path)?;
            sheet.save_with_format(aside.path(), image::ImageFormat::Png)?;
            aside.stand_over()?;
            made.push(path);
        }
        Ok(made)
    }

    /// One sheet; nothing if it was cancelled.
    fn sheet(
        &self,
        layout: &Layout,
        lettering: &Lettering,
        outer: &[usize],
        cancelled: &dyn Fn() -> bool,
    ) -> anyhow::Result<Option<RgbImage>> {
        let (width, height) = layout.size();
        // As much again while it is compressed.
        memory::ask(u64::from(width) * u64::from(height) * 6, "the sheet")?;
        let mut sheet = RgbImage::from_pixel(width, height, PAPER);
        for (n, line) in self.title(outer).iter().enumerate() {
            let line = lettering.wrapped(line, layout.title_width(), 1).concat();
            lettering.draw(&mut sheet, layout.title_at(n), &line);
        }
        for Place { at, text, width, lines } in layout.labels(self.grid) {
            let wrapped = lettering.wrapped(&text, width, lines);
            for (n, line) in wrapped.iter().enumerate() {
                lettering.draw(&mut sheet, (at.0, at.1 + n as u32 * LINE), line);
            }
        }
        for (inner, (left, top)) in layout.boxes() {
            if cancelled() {
                return Ok(None);
            }
            let cell = self.grid.number(&[outer, inner.as_slice()].concat());
            let (wide, high) = layout.picture;
            match self.picture(cell) {
                Some(picture) => {
                    let picture = fitted(&picture, layout.picture);
                    let x = left + (wide - picture.width()) / 2;
                    let y = top + (high - picture.height()) / 2;
                    imageops::replace(&mut sheet, &picture, x.into(), y.into());
                }
                None => self.nothing(&mut sheet, lettering, cell, (left, top, wide, high)),
            }
        }
        Ok(Some(sheet))
    }

    /// What stands above: which axes the rows and columns are, and what the others have here.
    fn title(&self, outer: &[usize]) -> Vec<String> {
        let inner = outer.len()..self.grid.lengths().len();
        let names: Vec<_> = inner.map(|dimension| self.grid.dimension(dimension)).collect();
        let axes = match names.as_slice() {
            [rows, columns] => format!("rows {rows}, columns {columns}"),
            names => names.concat(),
        };
        let here = |(dimension, at): (usize, &usize)| {
            format!("{} = {}", self.grid.dimension(dimension), self.grid.label(dimension, *at))
        };
        [axes].into_iter().chain(outer.iter().enumerate().map(here)).collect()
    }

    /// A box for a cell that has no picture, with the reason.
    fn nothing(&self, sheet: &mut RgbImage, lettering: &Lettering, cell: usize, at: (u32, u32, u32, u32)) {
        let (left, top, wide, high) = at;
        imageops::replace(sheet, &RgbImage::from_pixel(wide, high, EMPTY), left.into(), top.into());
        let why = match self.rows.get(&cell) {
            Some(row) if row.exit != 0 => format!("failed ({})", row.exit),
            Some(_) => "no picture".to_owned(),
            None => "not run".to_owned(),
        };
        if lettering.width(&why) <= wide && high >= LINE {
            lettering.draw(sheet, (left + 4, top + (high - LINE) / 2), &why);
        }
    }

    /// A cell's first picture.
    fn picture(&self, cell: usize) -> Option<RgbImage> {
        let mut paths = self.rows.get(&cell)?.files.iter().filter_map(|name| self.folder.file(name));
        paths.find_map(|path| {
            let (width, height) = image::image_dimensions(&path).ok()?;
            let pixels = u64::from(width) * u64::from(height);
            if pixels > MOST_PIXELS || memory::ask(pixels * 8, "a picture for the sheet").is_err() {
                return None;
            }
            Some(over_paper(&image::open(&path).ok()?))
        })
    }

    /// The size of the box that every picture fits in.
    fn largest(&self) -> (u32, u32) {
        let of_row =
            |row: &Row| row.files.iter().find_map(|name| image::image_dimensions(self.folder.file(name)?).ok());
        let sizes = self.rows.values().take(1000).filter_map(of_row);
        let (width, height) = sizes.fold((1, 1), |(w, h), (width, height)| (w.max(width), h.max(height)));
        if (width, height) == (1, 1) { (LARGEST, LARGEST) } else { within((width, height), (LARGEST, LARGEST)) }
    }
}

/// Where the combination with a number lies.
fn place(number: usize, lengths: &[usize]) -> Vec<usize> {
    let mut rest = number;
    let mut place: Vec<_> = lengths.iter().rev().map(|length| (rest % length, rest /= length).0).collect();
    place.reverse();
    place
}

/// A size made smaller until it fits, with its proportions.
fn within((width, height): (u32, u32), (wide, high): (u32, u32)) -> (u32, u32) {
    let share = (f64::from(wide) / f64::from(width)).min(f64::from(high) / f64::from(height)).min(1.0);
    let scaled = |side: u32, most: u32| ((f64::from(side) * share).round() as u32).clamp(1, most);
    (scaled(width, wide), scaled(height, high))
}

fn fitted(picture: &RgbImage, most: (u32, u32)) -> RgbImage {
    let (width, height) = within(picture.dimensions(), most);
    if (width, height) == picture.dimensions() {
        return picture.clone();
    }
    imageops::thumbnail(picture, width, height)
}

/// A picture without its transparency.
fn over_paper(picture: &image::DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let rgba = picture.to_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, alpha] = rgba.get_pixel(x, y).0.map(u32::from);
        let mix = |c: u32| ((c * alpha + 255 * (255 - alpha)) / 255) as u8;
        Rgb([mix(r), mix(g), mix(b)])
    })
}
