//! A table that is said and kept, and pictures in rows.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use image::{Rgb, RgbImage, imageops};

use crate::log::say;

/// Pictures that stand beside each other.
pub(crate) type Row = Vec<Vec<u8>>;

/// The table.
pub(crate) struct Report {
    text: String,
}

impl Report {
    pub(crate) fn begin(head: &str) -> Result<Report> {
        let mut report = Report { text: String::new() };
        report.line(head)?;
        Ok(report)
    }

    pub(crate) fn line(&mut self, line: &str) -> Result<()> {
        say(line)?;
        Ok(writeln!(self.text, "{line}")?)
    }

    /// Writes the table alone.
    pub(crate) fn keep(self, file: &Path) -> Result<()> {
        Ok(fs_err::write(file, self.text)?)
    }

    /// Writes it as `report.md`, with what pictures were asked for in `captions.txt`.
    pub(crate) fn write<S: AsRef<str>>(self, directory: &Path, captions: &[S]) -> Result<()> {
        self.keep(&directory.join("report.md"))?;
        let captions: Vec<String> = captions.iter().map(|caption| format!("{}\n", caption.as_ref())).collect();
        Ok(fs_err::write(directory.join("captions.txt"), captions.concat())?)
    }
}

/// Writes the first pictures of each row.
pub(crate) fn sheet(rows: &[Row], size: u32, columns: usize, path: &Path) -> Result<()> {
    let pictures: Vec<(&[u8], [u8; 3])> =
        rows.iter().flat_map(|row| row.iter().take(columns)).map(|picture| (picture.as_slice(), [255; 3])).collect();
    framed_sheet(&pictures, size, columns as u32, path)
}

/// Pixels between pictures; half of it frames each.
const GAP: u32 = 6;

/// Writes square pictures in rows, each with a frame of its colour.
pub(crate) fn framed_sheet(pictures: &[(&[u8], [u8; 3])], size: u32, columns: u32, path: &Path) -> Result<()> {
    let rows = (pictures.len() as u32).div_ceil(columns);
    let step = size + GAP;
    let mut sheet = RgbImage::from_pixel(columns * step, rows * step, Rgb([255; 3]));
    for (&(pixels, frame), i) in pictures.iter().zip(0..) {
        let (x, y) = (i % columns * step, i / columns * step);
        let framed = RgbImage::from_pixel(size + GAP - 2, size + GAP - 2, Rgb(frame));
        imageops::replace(&mut sheet, &framed, (x + 1).into(), (y + 1).into());
        let picture = RgbImage::from_raw(size, size, pixels.to_vec()).context("a picture has another size")?;
        imageops::replace(&mut sheet, &picture, (x + GAP / 2).into(), (y + GAP / 2).into());
    }
    Ok(sheet.save(path)?)
}
