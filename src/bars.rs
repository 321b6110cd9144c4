//! How a run looks to a person: bars on a terminal, the paths of saved files on stdout.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use redraft_engine::event::Event;

use crate::exit::{say, tell};

/// Shows the events of runs: bars only on a terminal, files, texts and warnings always.
pub(crate) struct Bars {
    bar: ProgressBar,
    /// What the running node is called.
    title: String,
}

impl Bars {
    pub(crate) fn new() -> Self {
        let shown = std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bar: ProgressBar::with_draw_target(None, target), title: String::new() }
    }

    pub(crate) fn show(&mut self, event: &Event) {
        match event {
            Event::Executing { node, title, .. } => {
                self.title = format!("{title} ({node})");
                self.spin();
            }
            Event::Progress { done, total, .. } => self.steps(*done, *total),
            Event::Executed { output, paths, .. } => {
                self.bar.suspend(|| {
                    paths.iter().for_each(|path| say(path.display()));
                    output.texts().for_each(say);
                });
            }
            Event::Blocked { node, class, message, .. } => {
                self.line(&format!("node {node} ({class}): not run: {message}"))
            }
            Event::Warning { node, message } => {
                let node = node.as_ref().map(|node| format!("node {node}: ")).unwrap_or_default();
                self.line(&format!("warning: {node}{message}"));
            }
            Event::Success { .. } | Event::Error(_) | Event::Interrupted { .. } => self.bar.finish_and_clear(),
            Event::Preview { .. }
            | Event::Start { .. }
            | Event::Cached { .. }
            | Event::Expanded { .. }
            | Event::Finished { .. } => {}
        }
    }

    /// A line for the person, above the bar.
    pub(crate) fn line(&self, line: &str) {
        self.bar.suspend(|| tell(line));
    }

    fn spin(&self) {
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            self.bar.set_style(style);
        }
        self.bar.reset();
        self.bar.set_message(self.title.clone());
        if !self.bar.is_hidden() {
            self.bar.enable_steady_tick(std::time::Duration::from_millis(120));
        }
    }

    fn steps(&self, done: usize, total: usize) {
        if self.bar.length() != Some(total as u64) {
            let template = "{msg} {wide_bar} {pos}/{len} {elapsed}<{eta} {per_sec}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style);
            }
            self.bar.set_length(total as u64);
        }
        self.bar.set_position(done as u64);
    }
}
