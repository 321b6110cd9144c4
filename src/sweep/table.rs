//! `sweep.csv`: a line for each cell.

use std::fs::File;
use std::io::Write;

/// Stands between the files of a cell.
const BETWEEN: &str = ";";

/// What is known of a cell that was run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) values: Vec<String>,
    /// Names below the folder of the sweep.
    pub(super) files: Vec<String>,
    pub(super) seconds: f64,
    pub(super) exit: u8,
    pub(super) error: String,
}

impl Row {
    pub(super) fn record(&self, number: usize) -> Vec<String> {
        let mut record = vec![(number + 1).to_string()];
        record.extend(self.values.iter().cloned());
        record.extend([
            self.files.join(BETWEEN),
            format!("{:.3}", self.seconds),
            self.exit.to_string(),
            self.error.clone(),
        ]);
        record
    }

    pub(super) fn parse(record: &csv::StringRecord, columns: usize) -> Option<(usize, Self)> {
        if record.len() != columns + 5 {
            return None;
        }
        let field = |at: usize| record.get(at);
        let number = field(0)?.parse::<usize>().ok()?.checked_sub(1)?;
        let values = (1..=columns).filter_map(field).map(str::to_owned).collect();
        let files = field(columns + 1)?.split(BETWEEN).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let seconds = field(columns + 2)?.parse().ok()?;
        let (exit, error) = (field(columns + 3)?.parse().ok()?, field(columns + 4)?.to_owned());
        Some((number, Self { values, files, seconds, exit, error }))
    }
}

/// The table, while cells are added.
pub(super) struct Table {
    file: File,
}

impl Table {
    /// A table that a file holds, which is open for additions.
    pub(super) fn on(file: File) -> Self {
        Self { file }
    }

    /// Adds a cell: one write of a whole line.
    pub(super) fn add(&mut self, number: usize, row: &Row) -> std::io::Result<()> {
        self.file.write_all(&line(&row.record(number)))
    }
}

/// A record as a line of a table.
pub(super) fn line(record: &[String]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Into memory nothing fails.
    let _ = writer.write_record(record);
    writer.into_inner().unwrap_or_default()
}
