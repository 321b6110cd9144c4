//! The folder of a sweep: what is to be done (`sweep.json`), what is done (`sweep.csv`), and the pictures (`cells`).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use redraft_engine::aside::Aside;
use redraft_engine::files;
use serde_json::Value as Json;

use super::plan::{differences, is_plan};
use super::table::{Row, Table, line};
use crate::exit::{Exit, Outcome, Stop};
use crate::out::plain;

const PLAN: &str = "sweep.json";
const TABLE: &str = "sweep.csv";
const CELLS: &str = "cells";
/// Where the nodes of a cell write before its files get their names.
pub(super) const STAGING: &str = ".redraft-staging";
/// What the names of files and folders begin with that are there for the time of writing.
const PASSING: &str = ".redraft-";
/// The largest plan and table that are read, in bytes.
const MAX_PLAN: u64 = 64 << 20;
const MAX_TABLE: u64 = 4 << 30;

pub(super) struct Folder {
    root: PathBuf,
    columns: Vec<String>,
    /// Held for as long as the sweep runs: two in one folder would take each other's files.
    _lock: File,
}

impl Folder {
    /// Opens the folder for a plan, and makes it if it is not there. `force` removes what another plan has made.
    pub(super) fn open(root: &Path, columns: Vec<String>, plan: &Json, force: bool) -> Outcome<Self> {
        let wrong = |error: std::io::Error| Stop::wrong(format!("--out {}: {error}; name another", root.display()));
        let cells = root.join(CELLS);
        std::fs::create_dir_all(root).map_err(wrong)?;
        let lock = File::open(root).map_err(wrong)?;
        if !alone(&lock) {
            let why = "another sweep runs in it; wait, or name another";
            return Err(Stop::wrong(format!("--out {}: {why}", root.display())));
        }
        let this = Self { root: root.to_owned(), columns, _lock: lock };
        match this.plan()? {
            Some(before) if before == *plan => {}
            Some(_) if force => this.clear(),
            Some(before) => {
                let why =
                    "holds another sweep; name another folder, or begin anew with --force; what is not as it was:";
                let differences = differences(&before, plan).join(", ");
                return Err(Stop::wrong(format!("--out {}: {why} {differences}", root.display())));
            }
            None => this.is_free(force)?,
        }
        for folder in [&cells, &this.staging()] {
            if folder.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
                return Err(Stop::wrong(format!("{} is a link; name another --out", folder.display())));
            }
        }
        // First of all: a folder with a plan is a sweep's, wherever it is stopped.
        this.write(PLAN, format!("{plan:#}\n").as_bytes()).map_err(wrong)?;
        std::fs::create_dir_all(&cells).map_err(wrong)?;
        this.empty_staging().map_err(wrong)?;
        Ok(this)
    }

    /// Whether a sweep may begin in the folder, where none was: nothing is in it or, with `force`, nothing under the names that a sweep gives.
    fn is_free(&self, force: bool) -> Outcome<()> {
        let wrong = |why: String| Stop::wrong(format!("--out {}: {why}", self.root.display()));
        for entry in std::fs::read_dir(&self.root).map_err(|error| wrong(error.to_string()))? {
            let name = entry.map_err(|error| wrong(error.to_string()))?.file_name().to_string_lossy().into_owned();
            if name.starts_with(PASSING) && name != STAGING {
                continue;
            }
            if !force {
                let why = "is not empty, and no sweep's; name another folder, or use this one with --force, which leaves what is in it";
                return Err(wrong(why.to_owned()));
            }
            let is_sheet = name.starts_with("sheet") && name.ends_with(".png");
            if is_sheet || [TABLE, PLAN, CELLS, STAGING].contains(&name.as_str()) {
                return Err(wrong(format!(
                    "{} is there, and no sweep made it; move it, or name another folder",
                    plain(&name)
                )));
            }
        }
        Ok(())
    }

    fn plan(&self) -> Outcome<Option<Json>> {
        let path = self.root.join(PLAN);
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let wrong = |why: String| Stop::wrong(format!("{}: {why}; name another --out", path.display()));
        let bytes = files::read(&path, MAX_PLAN).map_err(|error| wrong(error.to_string()))?;
        match serde_json::from_slice(&bytes) {
            Ok(json) if is_plan(&json) => Ok(Some(json)),
            _ => Err(wrong("is no sweep's".to_owned())),
        }
    }

    /// Removes what the table tells of.
    fn clear(&self) {
        let rows = self.read_rows().unwrap_or_default();
        let files = rows.iter().flat_map(|row| row.files.iter().filter_map(|name| self.file(name)));
        let sheets = (0..).map_while(|n| Some(self.root.join(super::sheet::name(n))).filter(|path| path.is_file()));
        for path in files.chain(sheets).chain([TABLE, PLAN].map(|name| self.root.join(name))) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// The path of a file that the table names; nothing if it is no file of a cell.
    pub(super) fn file(&self, name: &str) -> Option<PathBuf> {
        let plain = name.strip_prefix(CELLS)?.strip_prefix('/')?;
        let is_plain = !plain.is_empty() && !plain.contains(['/', '\\']) && plain != "..";
        let path = self.root.join(CELLS).join(plain);
        (is_plain && path.symlink_metadata().is_ok_and(|meta| meta.is_file())).then_some(path)
    }

    /// A file of the sweep itself.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.root.join(STAGING)
    }

    /// Makes the folder empty in which the next cell's files are written.
    pub(super) fn empty_staging(&self) -> std::io::Result<()> {
        self.remove_staging();
        std::fs::create_dir_all(self.staging().join("temp"))
    }

    pub(super) fn remove_staging(&self) {
        let _ = std::fs::remove_dir_all(self.staging());
    }

    /// Gives a file of a cell its name, and returns that.
    pub(super) fn take(&self, from: &Path, name: &str) -> std::io::Result<String> {
        std::fs::rename(from, self.root.join(CELLS).join(name))?;
        Ok(format!("{CELLS}/{name}"))
    }

    /// The cells that are done, by number, and a table of them alone to write on. Where a cell has failed, or its files are gone, it is
    /// not done.
    pub(super) fn begin(
        &self,
        values: impl Fn(usize) -> Option<Vec<String>>,
    ) -> Outcome<(IndexMap<usize, Row>, Table)> {
        let path = self.path(TABLE);
        let wrong = |error: std::io::Error| Stop::wrong(format!("{}: {error}; name another --out", path.display()));
        let done = self.read_table()?.into_iter().filter(|(number, row)| {
            row.exit == Exit::Done as u8
                && row.files.iter().all(|name| self.file(name).is_some())
                && values(*number).is_some_and(|values| values == row.values)
        });
        let done: IndexMap<_, _> = done.collect();
        let mut text = line(&self.header());
        done.iter().for_each(|(number, row)| text.extend(line(&row.record(*number))));
        self.write(TABLE, &text).map_err(wrong)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(wrong)?;
        Ok((done, Table::on(file)))
    }

    fn header(&self) -> Vec<String> {
        let around = ["files", "seconds", "exit", "error"].map(str::to_owned);
        [vec!["cell".to_owned()], self.columns.clone(), around.to_vec()].concat()
    }

    fn read_table(&self) -> Outcome<IndexMap<usize, Row>> {
        let path = self.path(TABLE);
        if path.symlink_metadata().is_err() {
            return Ok(IndexMap::new());
        }
        let wrong = |error: std::io::Error| Stop::wrong(format!("{}: {error}; name another --out", path.display()));
        let bytes = files::read(&path, MAX_TABLE).map_err(wrong)?;
        // A line without its end was being written when the process was killed.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.get(..whole).unwrap_or_default());
        if reader.headers().is_ok_and(|header| header != &csv::StringRecord::from(self.header())) {
            return Ok(IndexMap::new());
        }
        Ok(reader.records().filter_map(|record| Row::parse(&record.ok()?, self.columns.len())).collect())
    }

    /// All rows, for those who do not know the columns.
    fn read_rows(&self) -> Option<Vec<Row>> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(self.path(TABLE)).ok()?;
        let columns = reader.headers().ok()?.len().checked_sub(5)?;
        Some(reader.records().filter_map(|record| Some(Row::parse(&record.ok()?, columns)?.1)).collect())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let mut aside = Aside::of(&self.path(name))?;
        aside.write_all(bytes)?;
        aside.stand_over()
    }
}

#[cfg(unix)]
fn alone(folder: &File) -> bool {
    rustix::fs::flock(folder, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

#[cfg(not(unix))]
fn alone(_: &File) -> bool {
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn open(root: &Path, workflow: &str, force: bool) -> Outcome<Folder> {
        let plan = json!({ "format": 2, "workflow": workflow, "axes": [] });
        Folder::open(root, vec!["6.text".to_owned()], &plan, force)
    }

    fn append(path: &Path, bytes: &[u8]) {
        OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    fn row(text: &str, files: &[&str], exit: u8) -> Row {
        let files = files.iter().map(|name| (*name).to_owned()).collect();
        Row { values: vec![text.to_owned()], files, seconds: 1.5, exit, error: String::new() }
    }

    #[test]
    fn a_table_that_was_cut_is_continued() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("out");
        let text = "a \"red\" ball,\nleft";
        {
            let folder = open(&root, "one", false).unwrap();
            assert!(open(&root, "one", false).is_err(), "two at once");
            let (done, mut table) = folder.begin(|_| None).unwrap();
            assert!(done.is_empty());
            std::fs::write(root.join("cells/1.png"), "").unwrap();
            table.add(0, &row(text, &["cells/1.png"], 0)).unwrap();
            table.add(1, &row(text, &["cells/gone.png"], 0)).unwrap();
            table.add(2, &row(text, &[], 1)).unwrap();
            table.add(3, &row("another", &[], 0)).unwrap();
            table.add(4, &row(text, &["cells/../../x"], 0)).unwrap();
            append(&root.join(TABLE), b"6,half");
        }
        let folder = open(&root, "one", false).unwrap();
        let (done, _) = folder.begin(|_| Some(vec![text.to_owned()])).unwrap();
        assert_eq!(done.into_iter().collect::<Vec<_>>(), [(0, row(text, &["cells/1.png"], 0))]);
        let rest = "cell,6.text,files,seconds,exit,error\n1,\"a \"\"red\"\" ball,\nleft\",cells/1.png,1.500,0,\n";
        assert_eq!(std::fs::read_to_string(root.join(TABLE)).unwrap(), rest);
        drop(folder);
        assert!(open(&root, "two", false).is_err_and(|stop| stop.message.contains("holds another sweep")));
        drop(open(&root, "two", true).unwrap());
        assert!(!root.join("cells/1.png").exists() && !root.join(TABLE).exists());
    }

    #[test]
    fn a_folder_that_is_no_sweeps_stays_as_it_is() {
        let refused = |name: &str, text: &str, force: bool, words: &str| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            let stop = open(dir.path(), "one", force).err().unwrap();
            assert!(stop.message.contains(words) && stop.exit == Exit::Wrong, "{name}: {}", stop.message);
            assert_eq!(std::fs::read_to_string(path).unwrap(), text);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        };
        for name in ["staging/mine", "sweep.csv", "sheet.png", "README"] {
            refused(name, "mine", false, "is not empty, and no sweep's");
        }
        for name in ["cells/1.png", "sweep.csv", "sheet.png", "sheet-0002.png", ".redraft-staging/x"] {
            refused(name, "mine", true, "is there, and no sweep made it");
        }
        refused("sweep.json", "{}", true, "is no sweep's");
        refused("sweep.json", "mine", true, "is no sweep's");
        // What is in nobody's way stays.
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("staging")).unwrap();
        std::fs::write(dir.path().join("staging/mine"), "mine").unwrap();
        for workflow in ["one", "two"] {
            let folder = open(dir.path(), workflow, true).unwrap();
            folder.begin(|_| None).unwrap();
            folder.remove_staging();
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("staging/mine")).unwrap(), "mine");
        // A process that was killed while it wrote the plan is no obstacle.
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".redraft-1-x.part"), "").unwrap();
        open(dir.path(), "one", false).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (root, other) = (dir.path().join("out"), dir.path().join("other"));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        drop(open(&root, "one", false).unwrap());
        std::fs::remove_dir(root.join(CELLS)).unwrap();
        std::os::unix::fs::symlink(&other, root.join(CELLS)).unwrap();
        assert!(open(&root, "one", false).is_err_and(|stop| stop.message.contains("is a link")));
    }
}
