//! `redraft verify`: recorded outputs against what the nodes give now, tensor by tensor.

mod accept;
mod elsewhere;
mod find;
mod html;
mod known;
mod lost;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod verdict;

use std::path::{Path, PathBuf};

use redraft_engine::cx::Cancel;
use redraft_engine::node::Registry;

use self::find::cases;
use self::html::Page;
use self::known::KnownDifferences;
use self::report::Counts;
pub(crate) use self::run::Stand;
use self::verdict::{CaseOutcome, Verdict};
use crate::args::VerifyArgs;
use crate::bars::Bars;
use crate::bench::Bench;
use crate::exit::{Exit, Outcome, Stop};
use crate::worker::Line;
use crate::{directories, front, session, substitutes};

pub(crate) fn verify(args: VerifyArgs) -> Outcome {
    let json = args.json;
    let say = move |bars: &Bars, text: String| if json { bars.said_json(&text) } else { bars.said(&text) };
    front::alone(move |line, cancel| all(&args, line, cancel), say)
}

fn all(args: &VerifyArgs, line: &Line, cancel: &Cancel) -> Outcome {
    directories::require_writable("--junit", args.junit.as_deref())?;
    directories::require_writable("--report", args.report.as_deref())?;
    let folders = cases(&args.cases, args.filter.as_deref())?;
    for (option, file) in [("--junit", &args.junit), ("--report", &args.report)] {
        let known = args.known_differences.iter().map(PathBuf::as_path);
        let inputs = known.chain(args.changes.files()).chain(args.directories.files());
        directories::require_no_input(option, file.as_deref(), inputs)?;
        require_no_case(option, file.as_deref(), &folders)?;
    }
    let known = match &args.known_differences {
        Some(file) => KnownDifferences::read(file)?,
        None => KnownDifferences::default(),
    };
    let registry = Registry::linked()?;
    let substitutes = match args.changes.substitute() {
        true => substitutes::named(&args.changes, &args.directories)?,
        // A stand-in that nobody asked for would be compared with the real one.
        false => Vec::new(),
    };
    let bench = Bench::open(directories::folders(&args.directories)?, session::device(&args.compute)?)?;
    let mut page = args.report.is_some().then(|| Page::new(&bench.surroundings()));
    let mut stand = Stand { registry: &registry, bench, changes: &args.changes, substitutes: &substitutes };

    let mut verdicts = Vec::new();
    for (number, folder) in folders.iter().enumerate() {
        line.at(format!("case {} of {}: {}", number + 1, folders.len(), folder.display()));
        let (mut verdict, compared) = stand.judge(folder, line, cancel);
        if cancel.is_raised() {
            return Err(Stop::new(Exit::Cancelled, "cancelled"));
        }
        if let (Some(page), Some(compared)) = (&mut page, &compared) {
            page.show(&verdict, compared);
        }
        if let (true, CaseOutcome::Failed(_), Some(compared)) = (args.accept, &verdict.outcome, &compared) {
            verdict.outcome = match accept::accept(compared, &stand, args.changes.are_any()) {
                Ok(summary) => CaseOutcome::Accepted(summary),
                Err(error) => CaseOutcome::Failed(format!("cannot be accepted: {error:#}")),
            };
        }
        let verdict = verdict.knowing(known.of(folder));
        if args.json {
            line.note(verdict.to_json().to_string());
        } else {
            verdict.lines().into_iter().for_each(|text| line.note(text));
        }
        verdicts.push(verdict);
    }
    let counts = Counts::of(&verdicts);
    if args.json {
        line.note(counts.to_json().to_string());
    } else {
        report::by_folder(&verdicts).into_iter().for_each(|text| line.note(text));
        line.note(counts.to_string());
    }
    written(args, &verdicts, page)?;
    Ok(counts.exit())
}

/// Writes the files that are asked for. The verdict was said before: it does not depend on a disk.
fn written(args: &VerifyArgs, verdicts: &[Verdict], page: Option<Page>) -> Outcome<()> {
    let failed = |option: &str, file: &Path, error: anyhow::Error| {
        Stop::new(Exit::NodeFailed, format!("{option}: {} cannot be written: {error:#}", file.display()))
    };
    let mut outcome = Ok(());
    if let Some(file) = &args.junit {
        outcome = report::write_junit(file, verdicts).map_err(|error| failed("--junit", file, error));
    }
    if let (Some(page), Some(file)) = (page, &args.report) {
        outcome = outcome.and(page.write(file, verdicts).map_err(|error| failed("--report", file, error)));
    }
    outcome
}

/// Makes sure that no file of a case would be written over.
fn require_no_case(option: &str, file: Option<&Path>, cases: &[PathBuf]) -> Outcome<()> {
    let Some(real) = file.and_then(|file| file.canonicalize().ok()) else { return Ok(()) };
    let of = |case: &&PathBuf| case.canonicalize().is_ok_and(|case| real.starts_with(case));
    match cases.iter().find(of) {
        Some(case) => Err(Stop::wrong(format!(
            "{option}: {} is a file of the case {}; name another file",
            real.display(),
            case.display()
        ))),
        None => Ok(()),
    }
}
