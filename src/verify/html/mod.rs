//! `verify --report`: one HTML file that needs nothing beside itself, neither scripts nor a network.

mod chart;
mod figure;
mod measures;
mod text;

use std::io::Write;
use std::path::Path;

use redraft_engine::aside::Aside;
use tch::Tensor;

use self::text::escaped;
use super::report::Counts;
use super::run::Compared;
use super::verdict::{CaseOutcome, Verdict};
use crate::bars::in_words;
use crate::case::Surroundings;
use crate::compare::{Deviation, with_alpha};

const STYLE: &str = include_str!("style.css");

const FOOT: &str = "</main>\n<footer class=\"quiet\">Differences are over the largest expected value or 1, those under pictures as they are. \
    SSIM is by a Gaussian window of 11 × 11 pixels with a spread of 1.5. Pictures are scaled down to 512 pixels; of differences the \
    largest are kept.</footer>\n</body>\n</html>\n";

/// Of how many outputs of a case the pictures are shown, and how many are listed.
const SHOWN: usize = 8;
const LISTED: usize = 200;

/// The page, as far as cases are done.
pub(super) struct Page {
    surroundings: Surroundings,
    /// Those that differ, how many they are, and links to them.
    cases: String,
    shown: usize,
    index: String,
}

impl Page {
    pub(super) fn new(surroundings: &Surroundings) -> Self {
        Self { surroundings: surroundings.clone(), cases: String::new(), shown: 0, index: String::new() }
    }

    /// Adds a case that ran, if anything in it is beyond its tolerance.
    pub(super) fn show(&mut self, verdict: &Verdict, compared: &Compared) {
        let Some(first) = compared.first() else { return };
        let case = escaped(&verdict.name);
        self.shown += 1;
        let number = self.shown;
        self.index.push_str(&format!("<li><a href=\"#case-{number}\">{case}</a></li>\n"));
        let heading = format!("<h2>{case} <span class=\"bad\">differs</span></h2>");
        self.cases.push_str(&format!("<article id=\"case-{number}\">\n{heading}\n"));
        self.cases.push_str(&format!(
            "<p>First to part: <strong>{}</strong>, slot {}: {}; tolerance {:.1e}.</p>\n",
            escaped(&first.place.node_in_words()),
            first.place.slot.map_or("none".to_owned(), |slot| slot.to_string()),
            escaped(&first.distance.what),
            first.tolerance
        ));
        if let Some(cause) = &verdict.cause {
            self.cases.push_str(&format!("<p>Why: {}.</p>\n", escaped(&cause.to_string())));
        }
        self.cases.push_str(&table(&compared.deviations));
        let beyond = compared.deviations.iter().filter(|deviation| deviation.is_beyond());
        let shown = beyond.filter_map(|deviation| figure(compared, deviation)).take(SHOWN);
        shown.for_each(|figure| self.cases.push_str(&figure));
        self.cases.push_str("</article>\n");
    }

    /// Writes the page, aside and then renamed.
    pub(super) fn write(self, path: &Path, verdicts: &[Verdict]) -> anyhow::Result<()> {
        let Surroundings { redraft, device, numerics, threads, cpu, environment } = &self.surroundings;
        let environment = environment.as_ref().filter(|told| *told != "none");
        let environment = environment.map(|told| format!(", {}", escaped(told))).unwrap_or_default();
        let title = escaped(&Counts::of(verdicts).to_string());
        let seconds: f64 = verdicts.iter().map(|verdict| verdict.seconds).sum();
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>redraft verify: {title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>redraft verify</h1>\n<p class=\"counts\">{title}</p>\n\
             <p class=\"quiet\">{} in {}; redraft {}, {}, {threads} threads, {}, {}{environment}</p>\n</header>\n<main>\n{}{}",
            chrono::Local::now().format("%Y-%m-%d %H:%M"),
            in_words(seconds),
            escaped(redraft),
            escaped(device),
            escaped(cpu),
            escaped(numerics),
            if self.shown > 1 { format!("<ol class=\"index\">\n{}</ol>\n", self.index) } else { String::new() },
            self.cases
        );
        let of = |wanted: fn(&CaseOutcome) -> bool| verdicts.iter().filter(move |verdict| wanted(&verdict.outcome));
        let errors = verdicts.iter().filter(|v| matches!(v.outcome, CaseOutcome::Failed(_)) && v.difference.is_none());
        page.push_str(&list("Errors", errors, true));
        page.push_str(&list("Missing", of(|o| matches!(o, CaseOutcome::Missing(_) | CaseOutcome::NotThere(_))), true));
        page.push_str(&list("Differ as known", of(|o| matches!(o, CaseOutcome::Known(_))), true));
        page.push_str(&list("Passed", of(|o| matches!(o, CaseOutcome::Passed)), false));
        page.push_str(FOOT);
        let mut aside = Aside::of(path)?;
        aside.write_all(page.as_bytes())?;
        Ok(aside.stand_over()?)
    }
}

/// A heading and a line for each case; nothing without cases.
fn list<'v>(heading: &str, verdicts: impl Iterator<Item = &'v Verdict>, open: bool) -> String {
    let lines: Vec<_> = verdicts.map(line).collect();
    if lines.is_empty() {
        return String::new();
    }
    let open = if open { " open" } else { "" };
    format!(
        "<details class=\"list\"{open}>\n<summary>{heading} ({})</summary>\n<ul>\n{}</ul>\n</details>\n",
        lines.len(),
        lines.concat()
    )
}

fn line(verdict: &Verdict) -> String {
    let mut words = match (&verdict.outcome, verdict.largest) {
        (CaseOutcome::Passed, 0.0) => "equal in every bit".to_owned(),
        (CaseOutcome::Passed, largest) => {
            format!("largest difference {largest:.1e}, {:.0}% of the tolerance", verdict.closeness * 100.0)
        }
        (outcome, _) => outcome.words().unwrap_or_default(),
    };
    verdict.remarks.iter().for_each(|remark| words.push_str(&format!("; {remark}")));
    format!("<li><b>{}</b> <span class=\"quiet\">{}</span></li>\n", escaped(&verdict.name), escaped(&words))
}

/// Everything that was compared, in execution order.
fn table(deviations: &[Deviation]) -> String {
    let differing: Vec<_> = deviations.iter().filter(|deviation| deviation.is_any()).collect();
    let mut rows = String::new();
    for deviation in differing.iter().take(LISTED) {
        let verdict = if deviation.is_beyond() { "<span class=\"bad\">differs</span>" } else { "within" };
        let at = deviation.distance.at.as_ref().map(|at| format!("{:?}", at.position)).unwrap_or_default();
        rows.push_str(&format!(
            "<tr><td>{}</td><td>{verdict}</td><td>{}</td><td>{}</td><td>{:.1e}</td><td>{}</td></tr>\n",
            escaped(&deviation.place.to_string()),
            size(deviation.distance.size),
            size(deviation.distance.mean),
            deviation.tolerance,
            escaped(&at)
        ));
    }
    let equal = deviations.len() - differing.len();
    let more = differing.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(", {more} more differ") } else { String::new() };
    format!(
        "<div class=\"wide\"><table>\n<thead><tr><th>output</th><th></th><th>largest</th><th>mean</th><th>tolerance</th><th>at</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n<p class=\"quiet\">{equal} of {} outputs are equal{more}.</p>\n",
        deviations.len()
    )
}

fn size(size: f64) -> String {
    if size.is_finite() { format!("{size:.3e}") } else { "another value or shape".to_owned() }
}

/// Pictures and figures of an output, if it is like a picture.
fn figure(compared: &Compared, deviation: &Deviation) -> Option<String> {
    let (expected, found) = both(compared, deviation)?;
    figure::of(&deviation.place, &expected, &found)
}

/// The tensors that were compared.
fn both(compared: &Compared, deviation: &Deviation) -> Option<(Tensor, Tensor)> {
    let Compared { case, ran, .. } = compared;
    if deviation.place.slot.is_some() {
        let both = (case.expected.tensors.get(&deviation.key)?, ran.taken.tensors.get(&deviation.key)?);
        return Some((both.0.shallow_clone(), both.1.shallow_clone()));
    }
    let at = case.saved.iter().position(|picture| picture.name == deviation.key)?;
    let picture = case.saved.get(at)?;
    let number = case.saved.iter().take(at).filter(|other| other.node == picture.node).count();
    let (_, found) = ran.saved.iter().filter(|(node, _)| *node == picture.node).nth(number)?;
    Some((with_alpha(&picture.path).ok()?, with_alpha(found).ok()?))
}
