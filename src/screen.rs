//! Where a run is shown: events and notes as JSON for programs, or as lines and bars for people.

use std::path::PathBuf;
use std::time::Instant;

use redraft_engine::event::Event;
use serde_json::json;

use crate::args::{Progress, RunArgs};
use crate::bars::{Bars, in_words};
use crate::exit::{Exit, Outcome};
use crate::out::say_json;
use crate::previews::Previews;
use crate::workflow_file;

pub(crate) struct Screen {
    bars: Bars,
    json: bool,
    quiet: bool,
    previews: Option<Previews>,
    files: Vec<PathBuf>,
    /// The workflow that runs, and since when.
    running: Option<(usize, Instant)>,
    start: Instant,
    failed: usize,
}

impl Screen {
    pub(crate) fn new(args: &RunArgs, quiet: bool) -> Outcome<Self> {
        let progress = if args.json || quiet { args.progress.or(Some(Progress::None)) } else { args.progress };
        Ok(Self {
            bars: Bars::new(progress, args.print0),
            json: args.json,
            quiet,
            previews: args.preview_directory.clone().map(Previews::into_folder).transpose()?,
            files: args.files.clone(),
            running: None,
            start: Instant::now(),
            failed: 0,
        })
    }

    /// What a workflow is called in messages.
    fn name(&self, file: usize) -> String {
        workflow_file::name(&self.files[file])
    }

    /// A workflow begins; it was read and checked before, or is now.
    pub(crate) fn begin(&mut self, file: usize) {
        self.running = Some((file, Instant::now()));
        let (name, number, of) = (self.name(file), file + 1, self.files.len());
        if self.json {
            say_json(&json!({ "type": "workflow_start", "data": { "file": name, "number": number, "of": of } }), false);
        } else if of > 1 && self.bars.shown() {
            self.bars.line(&format!("workflow {number} of {of}: {name}"));
        }
    }

    /// A workflow is over.
    pub(crate) fn end(&mut self, file: usize, outcome: &Outcome) {
        let seconds = self.running.take().map_or(0.0, |(_, since)| since.elapsed().as_secs_f64());
        let (exit, error, problems) = match outcome {
            Ok(exit) => (*exit, None, &[][..]),
            Err(stop) => (stop.exit, Some(&stop.message), stop.problems.as_slice()),
        };
        self.failed += usize::from(exit != Exit::Done);
        if self.json {
            let data = json!({
                "file": self.name(file), "number": file + 1, "of": self.files.len(), "exit": exit as u8,
                "seconds": seconds, "problems": problems, "error": error,
            });
            say_json(&json!({ "type": "workflow_end", "data": data }), false);
        }
    }

    /// All workflows are over.
    pub(crate) fn close(&self) {
        if self.json || self.quiet || !self.bars.shown() {
            return;
        }
        let time = in_words(self.start.elapsed().as_secs_f64());
        self.bars.line(&match (self.files.len(), self.failed) {
            (1, 0) => format!("done in {time}"),
            (1, _) => format!("failed after {time}"),
            (of, 0) => format!("{of} workflows done in {time}"),
            (of, failed) => format!("{failed} of {of} workflows failed, in {time}"),
        });
    }

    pub(crate) fn event(&mut self, event: Event) {
        if let (Event::Preview { node, done, image, .. }, Some(previews)) = (&event, &self.previews)
            && let Err(error) = previews.write(node, *done, image)
        {
            self.previews = None;
            self.bars.line(&format!("warning: no more previews: {error:#}"));
        }
        match event {
            event if self.json => say_json(&json!(event), false),
            Event::Warning { node, message } => {
                let node = node.as_ref().map(|node| format!("node {node}: ")).unwrap_or_default();
                let file = self.running.map(|(file, _)| file);
                self.note(file, &format!("warning: {node}{message}"));
            }
            event => self.bars.show(&event),
        }
    }

    /// A line about a workflow that is no event of its run; it may begin with `warning: `.
    pub(crate) fn note(&mut self, file: Option<usize>, text: &str) {
        let (level, message) = match text.strip_prefix("warning: ") {
            Some(message) => ("warning", message),
            None => ("note", text),
        };
        let several = self.files.len() > 1;
        let file = file.map(|file| self.name(file));
        if self.json {
            say_json(&json!({ "type": "note", "data": { "level": level, "file": file, "message": message } }), false);
            return;
        }
        if self.quiet && level == "note" {
            return;
        }
        let level = if level == "warning" { "warning: " } else { "" };
        let file = file.filter(|_| several).map(|file| format!("{file}: ")).unwrap_or_default();
        self.bars.line(&format!("{level}{file}{message}"));
    }

    /// What stopped a workflow after which others run.
    pub(crate) fn error(&mut self, message: &str) {
        if !self.json {
            message.lines().for_each(|line| self.bars.line(&format!("error: {line}")));
        }
    }
}
