//! How a run looks to a person: progress on stderr, the paths of saved files on stdout.

use std::collections::{HashSet, VecDeque};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use redraft_engine::error::beginning;
use redraft_engine::event::Event;
use redraft_engine::prompt::NodeId;

use crate::args::Progress;
use crate::out::{plain, say_json_text, say_path, say_text, tell, tell_text};

/// Lines of progress come no closer than this.
const BETWEEN_LINES: Duration = Duration::from_secs(5);
/// With more nodes than this, lines of nodes come no closer than the others either.
const MANY: usize = 200;
/// Over how many steps the pace is taken.
const PACED: usize = 8;

/// Shows the events of runs.
pub(crate) struct Bars {
    how: Progress,
    bar: ProgressBar,
    /// Whether paths are written exactly.
    print0: bool,
    /// How many nodes the run may call, and those that it has called.
    nodes: usize,
    begun: HashSet<NodeId>,
    /// What the running node is called.
    title: String,
    /// What stands in front of that.
    at: String,
    pace: Pace,
    last_line: Option<Instant>,
}

impl Bars {
    /// `how` is what the command line says; otherwise bars are for terminals.
    pub(crate) fn new(how: Option<Progress>, print0: bool) -> Self {
        let how = how.unwrap_or(if std::io::stderr().is_terminal() { Progress::Bar } else { Progress::Plain });
        let target = if how == Progress::Bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            how,
            bar: ProgressBar::with_draw_target(None, target),
            print0,
            nodes: 0,
            begun: HashSet::new(),
            title: String::new(),
            at: String::new(),
            pace: Pace::default(),
            last_line: None,
        }
    }

    /// Whether progress is shown.
    pub(crate) fn shown(&self) -> bool {
        self.how != Progress::None
    }

    /// Whether bars are drawn, in place of lines.
    pub(crate) fn drawn(&self) -> bool {
        self.how == Progress::Bar
    }

    pub(crate) fn show(&mut self, event: &Event) {
        match event {
            Event::Start { nodes } => {
                self.nodes = *nodes;
                self.begun.clear();
            }
            Event::Executing { node, title, .. } => self.begin(node, title),
            Event::Progress { done, total, .. } => self.steps(*done, *total),
            Event::Executed { node, output, paths, .. } => {
                self.bar.suspend(|| {
                    paths.iter().for_each(|path| say_path(path, self.print0));
                    output.texts().for_each(|text| tell_text(format!("node {node}: {}", beginning(text))));
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
            Event::Preview { .. } | Event::Cached { .. } | Event::Expanded { .. } | Event::Finished { .. } => {}
        }
    }

    /// What is under way beside the node: `case 3 of 12: text/words`.
    pub(crate) fn at(&mut self, text: &str) {
        self.at = format!("{}, ", plain(text));
        self.title = plain(text).into_owned();
        if self.how == Progress::Bar {
            self.spin();
        }
    }

    /// A text for stdout, above the bar.
    pub(crate) fn said(&self, text: &str) {
        self.bar.suspend(|| say_text(text));
    }

    /// A line of JSON for stdout, above the bar.
    pub(crate) fn said_json(&self, line: &str) {
        self.bar.suspend(|| say_json_text(line));
    }

    /// A line for the person, above the bar.
    pub(crate) fn line(&self, line: &str) {
        self.bar.suspend(|| tell(line));
    }

    /// A node begins, or begins again.
    fn begin(&mut self, node: &NodeId, title: &str) {
        let again = !self.begun.insert(node.clone());
        let (number, of) = (self.begun.len(), self.nodes.max(self.begun.len()));
        self.title = format!("{}node {number} of {of}: {} ({})", self.at, plain(title), plain(node.as_str()));
        self.pace = Pace::default();
        match self.how {
            Progress::Plain if !again && (self.nodes <= MANY || self.is_due()) => {
                self.last_line = Some(Instant::now());
                tell(&self.title);
            }
            Progress::Bar => self.spin(),
            _ => {}
        }
    }

    fn is_due(&self) -> bool {
        self.last_line.is_none_or(|last| last.elapsed() >= BETWEEN_LINES)
    }

    fn spin(&self) {
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            self.bar.set_style(style);
        }
        self.bar.reset();
        self.bar.set_message(self.title.clone());
        if !self.bar.is_hidden() {
            self.bar.enable_steady_tick(Duration::from_millis(120));
        }
    }

    fn steps(&mut self, done: usize, total: usize) {
        self.pace.step(Instant::now(), done);
        let pace = self.pace.words(total.saturating_sub(done));
        match self.how {
            Progress::Plain => {
                if self.is_due() || done == total {
                    self.last_line = Some(Instant::now());
                    tell(format!("{}: step {done} of {total}{pace}", self.title));
                }
            }
            Progress::Bar => {
                if self.bar.length() != Some(total as u64) {
                    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}{prefix}") {
                        self.bar.set_style(style);
                    }
                    self.bar.set_length(total as u64);
                }
                self.bar.set_prefix(pace);
                self.bar.set_position(done as u64);
            }
            Progress::None => {}
        }
    }
}

/// How fast steps are done, over the last of them. Nothing is assumed of a step that is under way.
#[derive(Default)]
struct Pace {
    /// When each was done, and how many then were.
    recent: VecDeque<(Instant, usize)>,
}

impl Pace {
    fn step(&mut self, now: Instant, done: usize) {
        if self.recent.back().is_some_and(|(_, before)| *before > done) {
            self.recent.clear();
        }
        self.recent.push_back((now, done));
        if self.recent.len() > PACED + 1 {
            self.recent.pop_front();
        }
    }

    /// Seconds a step; nothing before the second.
    fn seconds(&self) -> Option<f64> {
        let ((first, from), (last, to)) = (self.recent.front()?, self.recent.back()?);
        (to > from).then(|| last.duration_since(*first).as_secs_f64() / (to - from) as f64)
    }

    /// `, 1.21 s/it, 18 s left`; nothing before there is a pace.
    fn words(&self, left: usize) -> String {
        let Some(seconds) = self.seconds().filter(|seconds| *seconds > 0.0) else { return String::new() };
        let rate = if seconds >= 1.0 { format!("{seconds:.2} s/it") } else { format!("{:.2} it/s", 1.0 / seconds) };
        format!(", {rate}, {} left", in_words(seconds * left as f64))
    }
}

/// A span of time, `0.4 s`, `18 s`, `3 min 5 s` or `2 h 4 min`.
pub(crate) fn in_words(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..120 => format!("{whole} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_18_the_pace_is_of_the_last_steps_and_does_not_explode() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut step = |at: f64, done: usize| {
            pace.step(start + Duration::from_secs_f64(at), done);
            pace.words(20 - done)
        };
        assert_eq!(step(100.0, 1), "", "what came before the first step is no pace");
        assert_eq!(step(101.5, 2), ", 1.50 s/it, 27 s left");
        assert_eq!(step(103.0, 3), ", 1.50 s/it, 26 s left");
        // A slow step counts as one of several, and is forgotten.
        assert_eq!(step(133.0, 4), ", 11.00 s/it, 2 min 56 s left");
        let last = (5..=13).map(|done| step(133.0 + done as f64 * 0.25, done)).last();
        assert_eq!(last.as_deref(), Some(", 4.00 it/s, 1.8 s left"));
    }

    #[test]
    fn spans_are_written_as_people_say_them() {
        let spans = [(0.04, "0.0 s"), (9.4, "9.4 s"), (59.6, "60 s"), (185.0, "3 min 5 s"), (7460.0, "2 h 4 min")];
        assert!(spans.iter().all(|(seconds, words)| in_words(*seconds) == *words));
    }
}
