//! How a sweep looks to a person.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use redraft_engine::event::Event;

use crate::args::Progress;
use crate::bars::{Bars, in_words};
use crate::exit::{Exit, Outcome, Stop};
use crate::out::{plain, say_path};
use crate::worker::{JobId, Message};

use super::args::SweepArgs;
use super::bench::{Job, Made};
use super::grid::Grid;

/// With more cells than this, their lines come no closer than `BETWEEN`.
const MANY: usize = 200;
const BETWEEN: Duration = Duration::from_secs(5);

pub(super) struct Show {
    bars: Bars,
    /// Whether bars are drawn, which show nodes, too.
    drawn: bool,
    print0: bool,
    quiet: bool,
    grid: Arc<Grid>,
    /// Goes with a cell that is left at work.
    staging: PathBuf,
    jobs: Vec<Job>,
    made: Receiver<Made>,
    start: Instant,
    last_line: Option<Instant>,
    failed: usize,
    first_failure: Option<Exit>,
    cancelled: bool,
    /// Whether a job was begun, and why none was.
    begun: bool,
    unopened: Option<Stop>,
    called: usize,
    alone: usize,
}

impl Show {
    pub(super) fn new(
        args: &SweepArgs,
        grid: Arc<Grid>,
        staging: PathBuf,
        jobs: Vec<Job>,
        made: Receiver<Made>,
        quiet: bool,
    ) -> Self {
        let how = if quiet { args.progress.or(Some(Progress::None)) } else { args.progress };
        let bars = Bars::new(how, args.print0);
        let drawn = bars.drawn();
        let (start, print0) = (Instant::now(), args.print0);
        Self {
            bars,
            drawn,
            print0,
            quiet,
            grid,
            staging,
            jobs,
            made,
            start,
            last_line: None,
            failed: 0,
            first_failure: None,
            cancelled: false,
            begun: false,
            unopened: None,
            called: 0,
            alone: 0,
        }
    }

    pub(super) fn message(&mut self, job: JobId, message: Message) {
        match message {
            Message::Begun => self.begin(job),
            Message::Event(event @ (Event::Executed { .. } | Event::Warning { .. })) => self.bars.show(&event),
            Message::Event(Event::Blocked { node, class, message, .. }) => {
                self.bars.line(&format!("node {node} ({class}): not run: {message}"));
            }
            Message::Event(event) if self.drawn => self.bars.show(&event),
            Message::Event(_) | Message::At(_) => {}
            Message::Note(text) => self.bars.line(&text),
            Message::Done(outcome) => self.done(job, outcome),
        }
    }

    fn begin(&mut self, job: JobId) {
        self.begun = true;
        let due = self.jobs.len() <= MANY || self.last_line.is_none_or(|last| last.elapsed() >= BETWEEN);
        if let Some(Job::Cell(cell)) = self.jobs.get(job)
            && self.bars.shown()
            && due
        {
            self.last_line = Some(Instant::now());
            let (all, title) = (self.jobs.len() - 1, self.grid.title(*cell));
            self.bars.line(&format!("cell {} of {all}: {}", job + 1, plain(&short(&title))));
        }
    }

    fn done(&mut self, job: JobId, outcome: Option<Outcome>) {
        while let Ok(made) = self.made.try_recv() {
            made.files.iter().for_each(|path| say_path(path, self.print0));
            self.called += made.called;
            self.alone += made.alone;
        }
        match outcome {
            Some(Err(stop)) if !self.begun => self.unopened = Some(stop),
            None => self.cancelled = true,
            Some(Err(stop)) if stop.exit == Exit::Cancelled => self.cancelled = true,
            Some(Err(stop)) => {
                self.failed += 1;
                self.first_failure.get_or_insert(stop.exit);
                let cell = match self.jobs.get(job) {
                    Some(Job::Cell(cell)) => format!("cell {} ({}): ", cell + 1, short(&self.grid.title(*cell))),
                    _ => String::new(),
                };
                stop.message.lines().for_each(|line| self.bars.line(&format!("error: {cell}{line}")));
            }
            Some(Ok(_)) => {}
        }
    }

    /// Says how it went.
    pub(super) fn end(self) -> Outcome {
        let (cells, time) = (self.jobs.len() - 1, in_words(self.start.elapsed().as_secs_f64()));
        if let Some(stop) = self.unopened {
            return Err(stop);
        }
        if self.cancelled {
            let _ = std::fs::remove_dir_all(&self.staging);
            let exit = Exit::Cancelled;
            return Err(Stop::new(exit, "cancelled; the same command goes on where this one ended"));
        }
        if !self.quiet {
            let (called, alone) = (self.called, self.alone);
            let shared = format!("{called} node calls, where each cell alone takes {alone} in all");
            self.bars.line(&match self.failed {
                0 => format!("{cells} cells done in {time}: {shared}"),
                failed => format!("{failed} of {cells} cells failed, in {time}; the same command tries these again"),
            });
        }
        Ok(self.first_failure.unwrap_or(Exit::Done))
    }
}

/// A title that fits on a line.
fn short(title: &str) -> String {
    const MOST: usize = 150;
    if title.chars().count() <= MOST {
        return title.to_owned();
    }
    title.chars().take(MOST - 1).chain(['…']).collect()
}
