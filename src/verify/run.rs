//! One case: run, and compared with what is expected.

use std::path::Path;
use std::time::Instant;

use redraft_engine::cx::Cancel;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::problem::{ProblemKind, Problems};
use redraft_engine::prompt::Prompt;

use super::elsewhere::written;
use super::lost::{listed, nodes_are_there, nothing_is_lost};
use super::verdict::{CaseOutcome, Verdict};
use crate::args::Changes;
use crate::bench::{Bench, Ran};
use crate::case::{Case, FOLDERS};
use crate::compare::cause::Evidence;
use crate::compare::changed::{Change, ChangeKind, Changed};
use crate::compare::{Deviation, compare_with, largest, of_pictures, sort};
use crate::exit::{Exit, Outcome, Stop};
use crate::named::named_files;
use crate::out::plain;
use crate::substitutes::Substitute;
use crate::worker::Line;
use crate::{session, workflow_file};

/// What cases are run on.
pub(crate) struct Stand<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) bench: Bench,
    /// What the command line changes in every case.
    pub(crate) changes: &'a Changes,
    pub(crate) substitutes: &'a [Substitute],
}

/// A case that ran, and everything that was compared, in execution order.
pub(crate) struct Compared {
    pub(crate) case: Case,
    /// The workflow that ran.
    pub(crate) prompt: Prompt,
    pub(crate) ran: Ran,
    pub(crate) deviations: Vec<Deviation>,
    /// What is other than it was recorded.
    pub(crate) changed: Changed,
    /// The same of device, threads and versions, in words.
    pub(crate) surroundings: String,
}

impl Compared {
    /// The first output beyond its tolerance, in execution order.
    pub(crate) fn first(&self) -> Option<&Deviation> {
        self.deviations.iter().find(|deviation| deviation.is_beyond())
    }

    pub(crate) fn evidence(&self) -> Evidence<'_> {
        Evidence {
            prompt: &self.prompt,
            changed: &self.changed,
            deviations: &self.deviations,
            found: &self.ran.taken,
            edited: self.case.edited,
            surroundings: &self.surroundings,
        }
    }
}

impl<'a> Stand<'a> {
    /// Runs a case and says how it came out.
    pub(super) fn judge(&mut self, folder: &Path, line: &Line, cancel: &Cancel) -> (Verdict, Option<Compared>) {
        let started = Instant::now();
        let mut verdict = Verdict::passed(folder.display().to_string());
        let compared = match Case::read(folder).map_err(Stop::from).and_then(|case| self.run(case, line, cancel)) {
            Ok(compared) => {
                verdict.take(&compared);
                Some(compared)
            }
            Err(stop) => {
                verdict.outcome = of_stop(stop);
                None
            }
        };
        verdict.seconds = started.elapsed().as_secs_f64();
        (verdict, compared)
    }

    /// Runs a case and compares it.
    pub(crate) fn run(&mut self, case: Case, line: &Line, cancel: &Cancel) -> Outcome<Compared> {
        self.bench.forget_handed_in();
        let load = |changes: &Changes, substitutes: &[Substitute], bench: &Bench| {
            workflow_file::load(&case.workflow, changes, substitutes, self.registry, &bench.engine.folders, &mut |_| {})
        };
        // What the case names is looked for as the command line says.
        let strict = self.changes.strict_names;
        let recorded = load(&Changes { strict_names: strict, ..Changes::default() }, &[], &self.bench)?.prompt;
        self.hand_in(&case, &recorded)?;
        let prompt = match self.changes.are_any() {
            true => load(self.changes, self.substitutes, &self.bench)?.prompt,
            false => recorded.clone(),
        };
        self.hand_in(&case, &prompt)?;
        let as_written = load(&Changes { strict_names: true, ..self.changes.clone() }, &[], &self.bench)?.prompt;
        nodes_are_there(&case, &prompt)?;
        let plan = self.plan(&case, prompt)?;
        let prompt = plan.prompt.clone();
        let mut changed = Changed::between_same(&recorded, &prompt);
        self.files(&case, &prompt, &as_written, &mut changed);
        let ran = self.bench.run(&plan, line, cancel)?;
        nothing_is_lost(&case, &ran.taken, &prompt)?;
        let mut deviations = compare_with(&case.expected, &ran.taken, &listed(&case), case.tolerance, &prompt);
        deviations.extend(of_pictures(&case.saved, &ran.saved, &prompt));
        sort(&mut deviations, &prompt, &ran.taken.order);
        let before = case.file.recorded.as_ref().map(|recorded| &recorded.surroundings);
        let surroundings = before.map(|before| self.bench.surroundings().differences(before)).unwrap_or_default();
        Ok(Compared { case, prompt, ran, deviations, changed, surroundings })
    }

    fn plan(&self, case: &Case, prompt: Prompt) -> Outcome<Plan<'a>> {
        let salt = session::salt(&self.bench.engine);
        let folders = &self.bench.engine.folders;
        // Cases are recorded by calling the nodes directly, so that their values may lie outside of the declared limits.
        let beyond = |kind| matches!(kind, ProblemKind::ValueSmallerThanMin | ProblemKind::ValueBiggerThanMax);
        let plan = Plan::tolerating(prompt, self.registry, folders, &case.targets(), &salt, beyond);
        plan.map_err(of_problems)
    }

    /// Lets nodes find the pictures that the case holds.
    fn hand_in(&self, case: &Case, prompt: &Prompt) -> Outcome<()> {
        let folders = &self.bench.engine.folders;
        for file in named_files(prompt, self.registry, folders).iter().filter(|file| file.is_users()) {
            let names = match file.folder.as_str() {
                "input" => vec![file.name.clone()],
                FOLDERS => case.pictures_of(&file.name)?,
                _ => Vec::new(),
            };
            for name in names {
                if let Some(bytes) = case.picture(&name)? {
                    folders.hand_in(&name, &bytes)?;
                }
            }
        }
        Ok(())
    }

    /// The files whose content is another than it was, and models that were taken from another folder. `as_written` names the files as the
    /// workflow does.
    fn files(&self, case: &Case, prompt: &Prompt, as_written: &Prompt, changed: &mut Changed) {
        let known = |folder: &str, name: &str| {
            let mut known = case.file.models.iter().chain(&case.file.pictures);
            known.find(|known| known.folder == folder && known.name == name)
        };
        for file in named_files(prompt, self.registry, &self.bench.engine.folders) {
            let written = written(&file, as_written);
            let before = known(&file.folder, written.unwrap_or(&file.name)).or_else(|| known(&file.folder, &file.name));
            if before.is_none() && written.is_none() {
                continue;
            }
            let now = file.digest(&self.bench.engine.folders);
            if now.as_ref().zip(before).is_some_and(|(now, before)| now.blake3 == before.blake3) {
                continue;
            }
            let mut words = format!("{} {}", plain(&file.folder), plain(&file.name));
            if let Some(written) = written {
                words.push_str(&format!(" is used in place of {}, which is not there", plain(written)));
            }
            if let Some((now, before)) = now.zip(before) {
                let start = |digest: &str| digest.chars().take(12).collect::<String>();
                let joined = if written.is_some() { ", and" } else { "" };
                let (now, before) = (start(&now.blake3), start(&before.blake3));
                let before = plain(&before);
                words.push_str(&format!(
                    "{joined} is another file than the one recorded (BLAKE3 {now}..., then {before}...)"
                ));
            } else if written.is_none() {
                continue;
            }
            let kind = if file.is_users() { ChangeKind::Picture } else { ChangeKind::Model };
            changed.add(&file.node, Change { kind, input: Some(file.input.clone()), words });
        }
    }
}

fn of_problems(problems: Problems) -> Stop {
    let is_file = |kind| matches!(kind, ProblemKind::FileMissing | ProblemKind::InputFileMissing);
    // A class that ComfyUI lacks as well is a fault of the case.
    let missing = problems.0.iter().all(|problem| problem.kind == ProblemKind::NotRunnable || is_file(problem.kind));
    let exit = if missing { Exit::Missing } else { Exit::Wrong };
    Stop { problems: problems.0.clone(), ..Stop::new(exit, problems.to_string().replace('\n', "; ")) }
}

fn of_stop(stop: Stop) -> CaseOutcome {
    let is_file = |kind| matches!(kind, ProblemKind::FileMissing | ProblemKind::InputFileMissing);
    match stop.exit {
        Exit::Missing if stop.problems.iter().any(|problem| is_file(problem.kind)) => {
            CaseOutcome::Missing(stop.message)
        }
        Exit::Missing => CaseOutcome::NotThere(stop.message),
        _ => CaseOutcome::Failed(stop.message),
    }
}

/// The largest difference, over the largest expected value or 1, and as a share of the tolerance.
pub(super) fn largest_and_closeness(deviations: &[Deviation]) -> (f64, f64) {
    let share = |deviation: &Deviation| match (deviation.distance.size, deviation.tolerance) {
        (0.0, _) => 0.0,
        (size, tolerance) => size / tolerance,
    };
    (largest(deviations), deviations.iter().map(share).fold(0.0, f64::max))
}
