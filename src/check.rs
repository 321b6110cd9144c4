//! `redraft check` and `redraft convert`.

use indexmap::IndexMap;
use redraft_engine::check::{Checked, check as check_prompt};
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::problem::{Problem, ProblemKind};
use redraft_engine::prompt::Targets;
use redraft_engine::workflow::{Hints, Remark, Severity};
use serde_json::json;

use crate::args::{CheckArgs, ConvertArgs};
use crate::exit::{Exit, Outcome, Stop};
use crate::out::{say, say_json, tell};
use crate::run::unneeded;
use crate::session::of_problems;
use crate::{directories, substitutes, workflow_file};

pub(crate) fn check(args: &CheckArgs) -> Outcome {
    let registry = Registry::linked()?;
    let folders = directories::folders(&args.directories)?;
    let substitutes = substitutes::named(&args.changes, &args.directories)?;
    let mut notes = Vec::new();
    let mut note = |note| notes.push(note);
    let loaded = workflow_file::load(&args.file, &args.changes, &substitutes, &registry, &folders, &mut note);
    let workflow = match loaded {
        Err(stop) if args.json => {
            let report =
                json!({ "ok": false, "error": stop.message, "problems": [], "remarks": [], "good_outputs": [] });
            say_json(&report, false);
            return Ok(stop.exit);
        }
        loaded => loaded?,
    };
    let mut checked = check_prompt(&workflow.prompt, &registry, &folders, &Targets::Outputs);
    let editor = workflow.workflow_json.as_ref();
    notes.extend(unneeded(&checked, editor).into_iter().map(|line| format!("warning: {line}")));
    checked.problems.0.append(&mut checked.flaws.0);
    let stop = of_problems(&mut checked.problems, editor);
    let problems = &checked.problems.0;
    notes.extend(unused_models(&Hints::of(editor), problems, &folders));
    let exit = if problems.is_empty() { Exit::Done } else { stop.exit };
    if args.json {
        let notes = notes.into_iter().map(|text| match text.strip_prefix("warning: ") {
            Some(text) => Remark { severity: Severity::Warning, node: None, text: text.to_owned() },
            None => Remark { severity: Severity::Note, node: None, text },
        });
        let remarks: Vec<_> = notes.chain(workflow.remarks).collect();
        let problems: Vec<_> = problems.iter().map(|problem| json!(problem)).collect();
        let good = &checked.good_outputs;
        let report =
            json!({ "ok": exit == Exit::Done, "problems": problems, "remarks": remarks, "good_outputs": good });
        say_json(&report, false);
        return Ok(exit);
    }
    notes.iter().for_each(tell);
    for remark in &workflow.remarks {
        tell(format!("{}{remark}", if remark.severity == Severity::Warning { "warning: " } else { "" }));
    }
    let file = workflow_file::name(&args.file);
    if exit != Exit::Done {
        let message = format!("{}\n{file}: {}", stop.message, summary(&checked));
        return Err(Stop { message, ..stop });
    }
    say(format!("{file}: nothing is wrong or missing"));
    Ok(exit)
}

/// How many problems there are of which kind, and what could run all the same.
fn summary(checked: &Checked) -> String {
    let mut kinds: IndexMap<&str, usize> = IndexMap::new();
    checked.problems.0.iter().for_each(|problem| *kinds.entry(in_words(problem.kind)).or_default() += 1);
    let count = checked.problems.0.len();
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let good = match (checked.good_outputs.len(), checked.outputs.len()) {
        (0, _) => "no output can run".to_owned(),
        (good, all) => format!("{good} of {all} outputs can run (--allow-partial)"),
    };
    format!("{count} problem{}: {}; {good}", if count == 1 { "" } else { "s" }, kinds.join(", "))
}

fn in_words(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::UnknownClass => "of unknown classes",
        ProblemKind::NotRunnable => "of nodes that cannot run yet",
        ProblemKind::FileMissing => "of missing models",
        ProblemKind::InputFileMissing => "of missing pictures",
        ProblemKind::MentionMissing => "of missing embeddings",
        ProblemKind::FileUnusable => "of files that cannot be used",
        ProblemKind::NoOutputs | ProblemKind::UnknownTarget => "of the whole workflow",
        ProblemKind::RequiredInputMissing => "of missing inputs",
        ProblemKind::BadLink
        | ProblemKind::ReturnTypeMismatch
        | ProblemKind::DanglingLink
        | ProblemKind::UndeclaredLink
        | ProblemKind::Cycle => "of links",
        ProblemKind::InvalidInputType
        | ProblemKind::ValueSmallerThanMin
        | ProblemKind::ValueBiggerThanMax
        | ProblemKind::ValueNotInList
        | ProblemKind::CustomValidation => "of values",
    }
}

/// Missing models that the workflow lists and that no problem names, because the nodes that use them are unknown here.
fn unused_models(hints: &Hints, problems: &[Problem], folders: &FolderPaths) -> Vec<String> {
    let named = |name: &str| problems.iter().any(|problem| problem.advice.contains(name));
    let missing = hints.models().filter(|(model, directory)| {
        !folders.directories(directory).is_empty()
            && folders.find(directory, &model.name).is_none()
            && !named(&model.name)
    });
    missing
        .map(|(model, directory)| {
            format!(
                "the workflow lists the model {} for {directory}, which is not there; it can be had from {}",
                model.name, model.url
            )
        })
        .collect()
}

fn severity(remark: &Remark) -> &'static str {
    match remark.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
    }
}

pub(crate) fn convert(args: &ConvertArgs) -> Outcome {
    let registry = Registry::linked()?;
    let folders = directories::folders(&args.source.directories)?;
    let workflow = workflow_file::read(&args.source.file, args.source.reading, &registry, &folders)?;
    for remark in workflow.remarks.iter().filter(|remark| args.explain || remark.severity == Severity::Warning) {
        let kind = if args.explain { format!("{}: ", severity(remark)) } else { String::new() };
        tell(format!("{}: {kind}{remark}", workflow_file::name(&args.source.file)));
    }
    say_json(&workflow.prompt.to_json(), true);
    Ok(Exit::Done)
}
