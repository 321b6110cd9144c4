//! `redraft verify`: recorded outputs against what the nodes give now, tensor by tensor.

mod case;
mod known;
mod report;
mod verdict;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redraft_engine::cache::Policy;
use redraft_engine::cx::{Cancel, Metadata};
use redraft_engine::exec::{Engine, Outcome as RunOutcome};
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::problem::ProblemKind;
use redraft_engine::prompt::Targets;

use self::case::{Case, Difference};
use self::known::KnownDifferences;
use self::report::Counts;
use self::verdict::{CaseOutcome, Verdict};
use crate::args::{Changes, Progress, VerifyArgs};
use crate::bars::Bars;
use crate::dump::{Taken, Taking};
use crate::exit::{Exit, Outcome, Stop};
use crate::out::say_text as say;
use crate::worker::{self, Line, Message, Worker};
use crate::{directories, front, session, workflow_file};

pub(crate) fn verify(args: VerifyArgs) -> Outcome {
    let open = || Ok(move |(), line: &mut Line, cancel: &Cancel| all(&args, line, cancel));
    let (mut worker, messages) = Worker::start(worker::Options::default(), open)?;
    worker.submit(());
    let hidden = (!std::io::stderr().is_terminal()).then_some(Progress::None);
    let (mut bars, mut end) = (Bars::new(hidden, false), Ok(Exit::Done));
    front::watch(worker, messages, |_, message| match message {
        Message::Begun => {}
        Message::Event(event) => bars.show(&event),
        Message::Note(text) => say(text),
        Message::Done(outcome) => end = outcome.unwrap_or(Ok(Exit::Cancelled)),
    })?;
    end
}

fn all(args: &VerifyArgs, line: &Line, cancel: &Cancel) -> Outcome {
    directories::require_writable("--junit", args.junit.as_deref())?;
    let mut folders = Vec::new();
    for dir in &args.cases {
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
    let registry = Registry::linked()?;
    // What cases save is not wanted, and their base directory may be read-only.
    let scratch = tempfile::tempdir().map_err(Stop::wrong)?;
    let mut base = directories::folders(&args.directories)?;
    base.output = scratch.path().join("output");
    base.temp = scratch.path().join("temp");
    let mut engine = session::engine(Arc::new(base), session::device(&args.compute)?, Policy::default(), None)?;

    let mut verdicts = Vec::new();
    for folder in &folders {
        let verdict = one(folder, &registry, &mut engine, cancel).knowing(known.of(folder));
        if cancel.is_raised() {
            return Err(Stop::new(Exit::Cancelled, "cancelled"));
        }
        if args.json {
            line.note(verdict.to_json().to_string());
        } else if let Some(words) = verdict.outcome.words() {
            line.note(format!("{}: {words}", verdict.name));
        }
        verdicts.push(verdict);
    }
    if let Some(junit) = &args.junit {
        report::write_junit(junit, &verdicts).map_err(|e| Stop::wrong(format!("{}: {e:#}", junit.display())))?;
    }
    if !args.json {
        report::by_folder(&verdicts).into_iter().for_each(|text| line.note(text));
    }
    let counts = Counts::of(&verdicts);
    line.note(counts.to_string());
    Ok(counts.exit())
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
    let mut verdict = Verdict::passed(folder.display().to_string());
    match compare(folder, registry, engine, cancel) {
        Err(stop) if stop.exit == Exit::Missing => verdict.outcome = CaseOutcome::NotThere(stop.message),
        Err(stop) => verdict.outcome = CaseOutcome::Failed(stop.message),
        Ok((largest, tolerance, difference)) => {
            (verdict.largest, verdict.closeness) = (largest, largest / tolerance);
            if let Some(difference) = &difference {
                verdict.outcome = CaseOutcome::Failed(difference.to_string());
            }
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
    let workflow =
        workflow_file::load(&case.workflow, &Changes::default(), &[], registry, &engine.folders, &mut |_| {})?;
    let salt = session::salt(engine);
    // Cases are recorded by calling the nodes directly, so that their values may lie outside of the declared limits.
    let beyond_limits = |kind| matches!(kind, ProblemKind::ValueSmallerThanMin | ProblemKind::ValueBiggerThanMax);
    let plan = Plan::tolerating(workflow.prompt, registry, &engine.folders, &Targets::All, &salt, beyond_limits);
    let plan = plan.map_err(|problems| {
        // A model or a picture that is not there is a fault of the case, and so is a class that ComfyUI lacks as well.
        let not_there = problems.0.iter().all(|problem| problem.kind == ProblemKind::NotRunnable);
        let exit = if not_there { Exit::Missing } else { Exit::Wrong };
        Stop::new(exit, problems.to_string().replace('\n', "; "))
    })?;
    let mut taken = Taken::default();
    let metadata = Metadata { disabled: true, ..Metadata::default() };
    let outcome = engine.run(&plan, &metadata, &mut Taking { inner: (), taken: &mut taken }, cancel);
    if let RunOutcome::Failed(failure) = outcome {
        return Err(Stop::new(Exit::of_failure(&failure), failure));
    }
    let (largest, first) = case.compare(&taken)?;
    Ok((largest, case.tolerance, first))
}
