//! `redraft check` and `redraft convert`.

use redraft_engine::check::check as check_prompt;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::problem::Problem;
use redraft_engine::prompt::Targets;
use redraft_engine::workflow::{Hints, Remark, Severity};
use serde_json::json;

use crate::args::{CheckArgs, ConvertArgs};
use crate::exit::{Exit, Outcome, Stop, say, tell};
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
            say(json!({ "ok": false, "error": stop.message, "problems": [], "remarks": [], "good_outputs": [] }));
            return Ok(stop.exit);
        }
        loaded => loaded?,
    };
    let mut checked = check_prompt(&workflow.prompt, &registry, &folders, &Targets::Outputs);
    checked.problems.0.append(&mut checked.flaws.0);
    let stop = of_problems(&args.file, &mut checked.problems, workflow.workflow_json.as_ref());
    let problems = &checked.problems.0;
    notes.extend(unused_models(&Hints::of(workflow.workflow_json.as_ref()), problems, &folders));
    let exit = if problems.is_empty() { Exit::Done } else { stop.exit };
    if args.json {
        let notes = notes.into_iter().map(|text| Remark { severity: Severity::Note, node: None, text });
        let remarks: Vec<_> = notes.chain(workflow.remarks).collect();
        let problems: Vec<_> = problems.iter().map(|problem| json!(problem)).collect();
        let good = &checked.good_outputs;
        say(json!({ "ok": exit == Exit::Done, "problems": problems, "remarks": remarks, "good_outputs": good }));
        return Ok(exit);
    }
    let remarks = workflow.remarks.iter().map(ToString::to_string);
    notes.iter().cloned().chain(remarks).for_each(|text| tell(format!("{}: {text}", args.file.display())));
    if exit != Exit::Done {
        return Err(stop);
    }
    say(format!("{}: nothing is wrong or missing", args.file.display()));
    Ok(exit)
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
    let folders = directories::folders(&args.directories)?;
    let workflow = workflow_file::read(&args.file, args.prompt_seed, &registry, &folders)?;
    for remark in workflow.remarks.iter().filter(|remark| args.explain || remark.severity == Severity::Warning) {
        let kind = if args.explain { format!("{}: ", severity(remark)) } else { String::new() };
        tell(format!("{}: {kind}{remark}", args.file.display()));
    }
    say(serde_json::to_string_pretty(&workflow.prompt.to_json()).map_err(Stop::wrong)?);
    Ok(Exit::Done)
}
