//! `redraft verify`: recorded outputs against what the nodes give now, tensor by tensor.

mod accept;
mod html;
mod known;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod verdict;

use std::path::{Path, PathBuf};

use redraft_engine::cx::Cancel;
use redraft_engine::node::Registry;

use self::html::Page;
use self::known::KnownDifferences;
use self::report::Counts;
pub(crate) use self::run::Stand;
use self::verdict::CaseOutcome;
use crate::args::VerifyArgs;
use crate::bench::Bench;
use crate::exit::{Exit, Outcome, Stop};
use crate::out::plain;
use crate::worker::Line;
use crate::{directories, front, session, substitutes};

/// How deep below a folder cases are found.
const MAX_DEPTH: usize = 8;

pub(crate) fn verify(args: VerifyArgs) -> Outcome {
    front::alone(move |line, cancel| all(&args, line, cancel), |bars, text| bars.said(&text))
}

fn all(args: &VerifyArgs, line: &Line, cancel: &Cancel) -> Outcome {
    directories::require_writable("--junit", args.junit.as_deref())?;
    directories::require_writable("--report", args.report.as_deref())?;
    let folders = cases(&args.cases, args.filter.as_deref())?;
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
    if let Some(junit) = &args.junit {
        report::write_junit(junit, &verdicts).map_err(|e| Stop::wrong(format!("{}: {e:#}", junit.display())))?;
    }
    if let (Some(page), Some(file)) = (page, &args.report) {
        page.write(file, &verdicts).map_err(|e| Stop::wrong(format!("{}: {e:#}", file.display())))?;
    }
    if !args.json {
        report::by_folder(&verdicts).into_iter().for_each(|text| line.note(text));
    }
    let counts = Counts::of(&verdicts);
    line.note(counts.to_string());
    Ok(counts.exit())
}

/// The cases below folders, those alone that a pattern fits.
fn cases(below: &[PathBuf], pattern: Option<&str>) -> Outcome<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for dir in below {
        let before = folders.len();
        find_cases(dir, 0, &mut folders).map_err(Stop::wrong)?;
        if folders.len() == before {
            return Err(Stop::wrong(format!(
                "{}: there is no case below; a case is a folder with a case.json",
                dir.display()
            )));
        }
    }
    let Some(pattern) = pattern else { return Ok(folders) };
    let all = folders.len();
    folders.retain(|folder| substitutes::matches(&format!("*{pattern}*"), &folder.to_string_lossy()));
    if folders.is_empty() {
        let pattern = plain(pattern);
        return Err(Stop::wrong(format!(
            "-k '{pattern}': none of the {all} cases has this in its path; give another pattern"
        )));
    }
    Ok(folders)
}

/// Folders with a case.json, in alphabetical order.
fn find_cases(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if dir.join(crate::case::CASE).is_file() {
        found.push(dir.to_owned());
        return Ok(());
    }
    let entries = fs_err::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let mut below: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    below.sort();
    if depth < MAX_DEPTH {
        below.iter().try_for_each(|dir| find_cases(dir, depth + 1, found))?;
    }
    Ok(())
}
