//! A table that is said and kept, and pictures in rows.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::contact_sheet;
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

    /// Writes it as `report.md`, with what pictures were asked for in `captions.txt`.
    pub(crate) fn write<S: AsRef<str>>(self, directory: &Path, captions: &[S]) -> Result<()> {
        fs_err::write(directory.join("report.md"), self.text)?;
        let captions: Vec<String> = captions.iter().map(|caption| format!("{}\n", caption.as_ref())).collect();
        Ok(fs_err::write(directory.join("captions.txt"), captions.concat())?)
    }
}

/// Writes the first pictures of each row.
pub(crate) fn sheet(rows: &[Row], size: u32, columns: usize, path: &Path) -> Result<()> {
    let pictures: Vec<(&[u8], [u8; 3])> =
        rows.iter().flat_map(|row| row.iter().take(columns)).map(|picture| (picture.as_slice(), [255; 3])).collect();
    contact_sheet::write(&pictures, size, columns as u32, path)
}
