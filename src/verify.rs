//! `redraft verify`: recorded outputs against what the nodes give now, tensor by tensor.

mod case;
mod known;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redraft_engine::cache::Policy;
use redraft_engine::cx::{Cancel, Metadata};
use redraft_engine::exec::{Engine, Outcome as RunOutcome};
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::problem::ProblemKind;
use redraft_engine::prompt::Targets;
use serde_json::json;

use self::case::{Case, Difference};
use self::known::{Known, KnownDifferences};
use crate::args::{Changes, VerifyArgs};
use crate::bars::Bars;
use crate::dump::{Taken, Taking};
use crate::exit::{Exit, Outcome, Stop, say};
use crate::worker::{self, Line, Message, Worker};
use crate::{front, places, session, source};

/// How a case came out.
struct Verdict {
    /// The case's folder, as the user named its beginning.
    name: String,
    seconds: f64,
    /// Why it failed; nothing if it passed.
    failure: Option<String>,
    /// Why it differs, where that is known; then it did not fail.
    known: Option<String>,
    difference: Option<Difference>,
    /// The largest difference over all compared tensors: over the largest expected value or 1, and as a share of the
    /// tolerance.
    largest: f64,
    closeness: f64,
}

pub(crate) fn verify(args: VerifyArgs) -> Outcome {
    let open = || Ok(move |(), line: &mut Line, cancel: &Cancel| all(&args, line, cancel));
    let (mut worker, messages) = Worker::start(worker::Policy::default(), open)?;
    worker.submit(());
    let (mut bars, mut end) = (Bars::new(), Ok(Exit::Done));
    front::watch(worker, messages, |_, message| match message {
        Message::Event(event) => bars.show(&event),
        Message::Note(text) => say(text),
        Message::Done(outcome) => end = outcome.unwrap_or(Ok(Exit::Cancelled)),
    })?;
    end
}

fn all(args: &VerifyArgs, line: &Line, cancel: &Cancel) -> Outcome {
    places::require_folder_of("--junit", args.junit.as_deref())?;
    let mut folders = Vec::new();
    for dir in &args.directories {
        let before = folders.len();
        find_cases(dir, 0, &mut folders).map_err(Stop::wrong)?;
        if folders.len() == before {
            return Err(Stop::wrong(format!(
                "{}: there is no case below; a case is a folder with a case.json",
                dir.display()
            )));
        }
    }
    let known = match &args.known_differences {
        Some(file) => KnownDifferences::read(file)?,
        None => KnownDifferences::default(),
    };
    let registry = Registry::linked();
    // What cases save is not wanted, and their base directory may be read-only.
    let scratch = tempfile::tempdir().map_err(Stop::wrong)?;
    let mut base = places::folders(&args.places)?;
    base.output = scratch.path().join("output");
    base.temp = scratch.path().join("temp");
    let mut engine = session::engine(Arc::new(base), session::device(&args.compute)?, Policy::default())?;

    let mut verdicts = Vec::new();
    for folder in &folders {
        let verdict = one(folder, &registry, &mut engine, cancel).knowing(known.of(folder));
        if cancel.is_raised() {
            return Err(Stop { exit: Exit::Cancelled, message: "cancelled".into() });
        }
        if args.json {
            line.note(verdict.to_json().to_string());
        } else if let Some(failure) = &verdict.failure {
            line.note(format!("{}: {failure}", verdict.name));
        } else if let Some(known) = &verdict.known {
            line.note(format!("{}: {known}", verdict.name));
        }
        verdicts.push(verdict);
    }
    if let Some(junit) = &args.junit {
        report::write_junit(junit, &verdicts).map_err(|e| Stop::wrong(format!("{}: {e:#}", junit.display())))?;
    }
    let failed = verdicts.iter().filter(|verdict| verdict.failure.is_some()).count();
    let differ = verdicts.iter().filter(|verdict| verdict.known.is_some()).count();
    let same = verdicts.iter().filter(|verdict| verdict.failure.is_none() && verdict.largest == 0.0).count();
    let known = if differ > 0 { format!(", {differ} differ as known") } else { String::new() };
    if !args.json {
        line.note(format!("{same} equal in every bit"));
    }
    line.note(format!("{} passed{known}, {failed} failed", verdicts.len() - failed - differ));
    Ok(if failed == 0 { Exit::Done } else { Exit::NodeFailed })
}

/// Folders with a case.json, in alphabetical order.
fn find_cases(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if dir.join("case.json").is_file() {
        found.push(dir.to_owned());
        return Ok(());
    }
    let entries = fs_err::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let mut below: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    below.sort();
    if depth < 8 {
        below.iter().try_for_each(|dir| find_cases(dir, depth + 1, found))?;
    }
    Ok(())
}

fn one(folder: &Path, registry: &Registry, engine: &mut Engine, cancel: &Cancel) -> Verdict {
    let started = std::time::Instant::now();
    let mut verdict = Verdict {
        name: folder.display().to_string(),
        seconds: 0.0,
        failure: None,
        known: None,
        difference: None,
        largest: 0.0,
        closeness: 0.0,
    };
    match compare(folder, registry, engine, cancel) {
        Err(stop) => verdict.failure = Some(stop.message),
        Ok((largest, tolerance, difference)) => {
            (verdict.largest, verdict.closeness) = (largest, largest / tolerance);
            verdict.failure = difference.as_ref().map(ToString::to_string);
            verdict.difference = difference;
        }
    }
    verdict.seconds = started.elapsed().as_secs_f64();
    verdict
}

/// Runs a case; the first difference beyond the tolerance in execution order, if any.
fn compare(
    folder: &Path,
    registry: &Registry,
    engine: &mut Engine,
    cancel: &Cancel,
) -> Outcome<(f64, f64, Option<Difference>)> {
    let case = Case::read(folder)?;
    let workflow = source::load(&case.workflow, &Changes::default(), registry, &engine.folders, &mut |_| {})?;
    let salt = session::salt(engine);
    // Cases are recorded from the nodes themselves, whose declared limits only the editor and the server keep.
    let beyond_limits = |kind| matches!(kind, ProblemKind::ValueSmallerThanMin | ProblemKind::ValueBiggerThanMax);
    let plan = Plan::tolerating(workflow.prompt, registry, &engine.folders, &Targets::All, &salt, beyond_limits)
        .map_err(|problems| Stop::wrong(problems.to_string().replace('\n', "; ")))?;
    let mut taken = Taken::default();
    let metadata = Metadata { disabled: true, ..Metadata::default() };
    let outcome = engine.run(&plan, &metadata, &mut Taking { inner: (), taken: &mut taken }, cancel);
    if let RunOutcome::Failed(failure) = outcome {
        return Err(Stop { exit: Exit::NodeFailed, message: failure.to_string() });
    }
    let (largest, first) = case.compare(&taken)?;
    Ok((largest, case.tolerance, first))
}

impl Verdict {
    /// Tells a difference that is known from a failure.
    fn knowing(mut self, known: Option<&Known>) -> Self {
        match (known, &self.difference) {
            (Some(known), Some(_)) if known.covers(self.largest) => {
                let failure = self.failure.take().unwrap_or_default();
                self.known = Some(format!("differs as known ({failure}): {}", known.reason));
            }
            (Some(known), Some(_)) => {
                let failure = self.failure.take().unwrap_or_default();
                self.failure = Some(format!("{failure}; more than is known of it ({})", known.reason));
            }
            (Some(_), None) if self.failure.is_none() => {
                self.known =
                    Some("is listed among the known differences and does not differ; take it off the list".into());
            }
            _ => {}
        }
        self
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "case": self.name,
            "passed": self.failure.is_none() && self.known.is_none(),
            "failure": self.failure,
            "known": self.known,
            "first_difference": self.difference.as_ref().map(Difference::to_json),
            "largest": self.largest,
            "closeness": self.closeness,
            "seconds": self.seconds,
        })
    }
}
