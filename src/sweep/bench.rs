//! The compute thread of a sweep: runs a cell, puts its files where they belong, and writes it into the table.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use indexmap::IndexMap;
use redraft_engine::cx::{Cancel, Metadata};
use redraft_engine::event::{Event, Observer};
use redraft_engine::exec::Engine;
use redraft_engine::io::Socket;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::prompt::NodeId;

use crate::args::Changes;
use crate::exit::{Exit, Outcome, Stop};
use crate::run::{Asked, ended, prepare};
use crate::substitutes::Substitute;
use crate::worker::Line;

use super::args::SweepArgs;
use super::folder::{Folder, STAGING};
use super::grid::{Cell, Grid};
use super::names;
use super::sheet::Sheets;
use super::table::{Row, Table};

/// A piece of work.
#[derive(Clone, Copy)]
pub(super) enum Job {
    /// The cell with a number.
    Cell(usize),
    /// Contact sheets of what is done.
    Sheets,
}

/// What became of a job.
pub(super) struct Made {
    pub(super) files: Vec<PathBuf>,
    /// How many nodes were called, and how many would have been if nothing had been kept.
    pub(super) called: usize,
    pub(super) alone: usize,
}

/// What a sweep needs from cell to cell.
pub(super) struct Bench {
    pub(super) args: Arc<SweepArgs>,
    pub(super) grid: Arc<Grid>,
    pub(super) registry: Arc<Registry>,
    pub(super) substitutes: Vec<Substitute>,
    pub(super) engine: Engine,
    pub(super) salt: String,
    pub(super) folder: Folder,
    pub(super) table: Table,
    pub(super) rows: IndexMap<usize, Row>,
    pub(super) made: Sender<Made>,
}

impl Bench {
    pub(super) fn work(&mut self, job: Job, line: &mut Line, cancel: &Cancel) -> Outcome {
        match job {
            Job::Cell(number) => self.cell(number, line, cancel),
            Job::Sheets => self.sheets(line, cancel),
        }
    }

    fn cell(&mut self, number: usize, line: &Line, cancel: &Cancel) -> Outcome {
        let started = Instant::now();
        let full = |error: std::io::Error| Stop::new(Exit::NodeFailed, format!("the cell's files: {error}"));
        self.folder.empty_staging().map_err(full)?;
        let mut watched = Watched { line: line.clone(), called: HashSet::new(), output: Vec::new(), temp: Vec::new() };
        let (mut outcome, alone) = match self.run(number, &mut watched, cancel) {
            Ok((outcome, alone)) => (outcome, alone),
            Err(stop) => (Err(stop), 0),
        };
        if outcome.as_ref().is_err_and(|stop| stop.exit == Exit::Cancelled) {
            self.folder.remove_staging();
            return outcome;
        }
        let saved = if watched.output.is_empty() { &watched.temp } else { &watched.output };
        let files = match self.take(number, saved) {
            Ok(files) => files,
            Err(error) => {
                outcome = outcome.and(Err(full(error)));
                Vec::new()
            }
        };
        let (exit, error) = match &outcome {
            Ok(exit) => (*exit, String::new()),
            // The first line says what is wrong.
            Err(stop) => (stop.exit, stop.message.lines().next().unwrap_or_default().to_owned()),
        };
        let seconds = started.elapsed().as_secs_f64();
        let row = Row { values: self.grid.values(number), files, seconds, exit: exit as u8, error };
        self.table.add(number, &row).map_err(full)?;
        let files = row.files.iter().filter_map(|name| self.folder.file(name)).collect();
        self.rows.insert(number, row);
        let _ = self.made.send(Made { files, called: watched.called.len(), alone });
        outcome
    }

    /// How the run of a cell ended, and how many nodes it has.
    fn run(&mut self, number: usize, watched: &mut Watched, cancel: &Cancel) -> Outcome<(Outcome, usize)> {
        let changes = changed(&self.args.changes, self.grid.cell(number));
        let asked = Asked { changes: &changes, only: &self.args.only, allow_partial: false };
        let (file, substitutes) = (&self.args.file, &self.substitutes);
        // What there is to say of the workflow was said in the beginning.
        let ready = prepare(asked, file, substitutes, &self.registry, &self.engine.folders, &mut |_| ())?;
        let plan = Plan::of(ready.runnable, &self.registry, &self.engine.folders, &self.salt);
        let extra = ready.editor.map(|editor| ("workflow".to_owned(), editor)).into_iter().collect();
        let metadata = Metadata { prompt: plan.prompt.to_json(), extra, disabled: self.args.disable_metadata };
        let outcome = self.engine.run(&plan, &metadata, watched, cancel);
        Ok((ended(&ready.name, outcome), plan.len()))
    }

    /// Gives the files of a cell their names.
    fn take(&self, number: usize, saved: &[PathBuf]) -> std::io::Result<Vec<String>> {
        let stem = names::stem(number, self.grid.len(), &self.grid.columns(), &self.grid.values(number));
        let named = saved.iter().enumerate().map(|(n, path)| self.folder.take(path, &names::file(&stem, n, path)));
        named.collect()
    }

    fn sheets(&mut self, line: &Line, cancel: &Cancel) -> Outcome {
        self.folder.remove_staging();
        let sheets = Sheets { grid: &self.grid, rows: &self.rows, folder: &self.folder };
        match sheets.make(&|| cancel.is_raised()) {
            Ok(files) => {
                let _ = self.made.send(Made { files, called: 0, alone: 0 });
                Ok(Exit::Done)
            }
            Err(why) => {
                line.note(format!("warning: no sheet: {why:#}"));
                Ok(Exit::Done)
            }
        }
    }
}

/// The changes of the command line with those of a cell.
pub(super) fn changed(changes: &Changes, cell: Cell) -> Changes {
    Changes { then: cell.settings, count_on: cell.count_on, ..changes.clone() }
}

/// Passes events on and keeps what the table needs.
struct Watched {
    line: Line,
    called: HashSet<NodeId>,
    output: Vec<PathBuf>,
    temp: Vec<PathBuf>,
}

impl Observer for Watched {
    fn event(&mut self, event: Event) {
        match event {
            Event::Executed { node, display_node, output, paths, cached } => {
                let is_temp =
                    |path: &Path| path.parent().is_some_and(|folder| folder.ends_with(Path::new(STAGING).join("temp")));
                for path in paths {
                    // A list may name a file twice.
                    let known = self.output.contains(&path) || self.temp.contains(&path);
                    if !known && path.is_file() {
                        if is_temp(&path) { self.temp.push(path) } else { self.output.push(path) }
                    }
                }
                // They get other names.
                self.line.event(Event::Executed { node, display_node, output, paths: Vec::new(), cached });
            }
            Event::Executing { ref node, .. } => {
                self.called.insert(node.clone());
                self.line.event(event);
            }
            event => self.line.event(event),
        }
    }

    fn outputs(&mut self, node: &NodeId, outputs: &[Socket]) {
        self.line.outputs(node, outputs);
    }
}
