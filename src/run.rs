//! `redraft run`.

use std::path::{Path, PathBuf};

use redraft_engine::check::Checked;
use redraft_engine::cx::{Cancel, Metadata};
use redraft_engine::event::Event;
use redraft_engine::exec::{Engine, Outcome as RunOutcome};
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::problem::Problems;
use redraft_engine::prompt::{Prompt, Targets};
use redraft_engine::settable::Addresses;
use redraft_engine::workflow::{Severity, Workflow};
use serde_json::{Value as Json, json};

use crate::args::RunArgs;
use crate::bars::Bars;
use crate::dump::{Taken, Taking};
use crate::exit::{Exit, Outcome, Stop, say};
use crate::previews::Previews;
use crate::session::{self, of_problems};
use crate::worker::{self, Line, Message};
use crate::{places, source};

pub(crate) fn run(args: RunArgs) -> Outcome {
    if args.dump.is_some() && args.files.len() > 1 {
        return Err(Stop::wrong("--dump takes the tensors of one workflow; give one FILE"));
    }
    // Said before hours are spent, not after.
    places::require_folder_of("--dump", args.dump.as_deref())?;
    let mut previews = args.preview_directory.clone().map(Previews::into_folder).transpose()?;
    let json = args.json;
    let mut bars = Bars::new();
    worker::run(
        move |mut line, cancel| {
            line.previews = args.previews();
            compute(&args, line, &cancel)
        },
        move |message| match message {
            Message::Event(Event::Preview { node, done, image }) if previews.is_some() => {
                let written = previews.as_mut().map(|previews| previews.write(&node, done, &image));
                if let Some(Err(error)) = written {
                    previews = None;
                    bars.line(&format!("warning: no more previews: {error:#}"));
                }
            }
            Message::Event(event) if json => say(event.to_json()),
            Message::Event(event) => bars.show(&event),
            Message::Note(text) if json => say(json!({ "type": "note", "data": { "message": text } })),
            Message::Note(text) => bars.line(&text),
        },
    )
}

/// Checks all workflows, then runs them one after the other.
fn compute(args: &RunArgs, mut line: Line, cancel: &Cancel) -> Outcome {
    let registry = Registry::linked();
    let mut engine = session::engine(&args.places, &args.compute, args.cache)?;
    let salt = session::salt(&engine);
    let mut jobs: Vec<(PathBuf, Plan, Metadata)> = Vec::new();
    for file in &args.files {
        let (plan, metadata) = prepare(args, file, &registry, &engine, &salt, &line)?;
        jobs.push((file.clone(), plan, metadata));
    }
    // Found out now, not when hours of sampling are done.
    let output = &engine.folders.output;
    fs_err::create_dir_all(output).map_err(|e| Stop::wrong(format!("{e}; choose another --output-directory")))?;
    let mut first_failure = None;
    for (i, (file, plan, metadata)) in jobs.iter().enumerate() {
        let Err(stop) = one(args, file, plan, metadata, &mut engine, &mut line, cancel) else { continue };
        if !args.keep_going || stop.exit == Exit::Cancelled || i + 1 == jobs.len() {
            return Err(match first_failure {
                Some(exit) if stop.exit != Exit::Cancelled => Stop { exit, ..stop },
                _ => stop,
            });
        }
        stop.message.lines().for_each(|text| line.note(format!("error: {text}")));
        first_failure = first_failure.or(Some(stop.exit));
    }
    Ok(first_failure.unwrap_or(Exit::Done))
}

/// Runs one workflow.
fn one(
    args: &RunArgs,
    file: &Path,
    plan: &Plan,
    metadata: &Metadata,
    engine: &mut Engine,
    line: &mut Line,
    cancel: &Cancel,
) -> Outcome<()> {
    let mut taken = Taken::default();
    let outcome = if args.dump.is_some() {
        engine.run(plan, metadata, &mut Taking { inner: line.clone(), taken: &mut taken }, cancel)
    } else {
        engine.run(plan, metadata, line, cancel)
    };
    if let Some(dump) = &args.dump {
        taken.write(dump).map_err(|e| Stop::wrong(format!("{}: {e:#}", dump.display())))?;
    }
    match outcome {
        RunOutcome::Done => Ok(()),
        RunOutcome::Cancelled => Err(Stop { exit: Exit::Cancelled, message: "cancelled".into() }),
        RunOutcome::Failed(failure) => {
            let exit = Exit::of_failure(&failure);
            let mut message = format!("{}: {failure}", file.display());
            let inputs = failure.inputs_in_words();
            if !inputs.is_empty() {
                message.push_str(&format!("\n{}: node {} was given: {inputs}", file.display(), failure.place()));
            }
            Err(Stop { exit, message })
        }
    }
}

fn prepare<'r>(
    args: &RunArgs,
    file: &Path,
    registry: &'r Registry,
    engine: &Engine,
    salt: &str,
    line: &Line,
) -> Outcome<(Plan<'r>, Metadata)> {
    let workflow = source::load(file, &args.changes, registry, &engine.folders, &mut |text| line.note(text))?;
    for remark in workflow.remarks.iter().filter(|remark| remark.severity == Severity::Warning) {
        line.note(format!("warning: {}: {remark}", file.display()));
    }
    let Workflow { prompt, workflow_json, .. } = workflow;
    let targets = targets(&args.only, &prompt, registry)?;
    let stop = |mut problems: Problems| of_problems(file, &mut problems, workflow_json.as_ref());
    let plan = if args.allow_partial {
        let planned = Plan::partial(prompt, registry, &engine.folders, &targets, salt);
        let (plan, checked) = planned.map_err(stop)?;
        warn_of_dropped(file, checked, workflow_json.as_ref(), line);
        plan
    } else {
        Plan::new(prompt, registry, &engine.folders, &targets, salt).map_err(stop)?
    };
    let metadata = Metadata {
        prompt: plan.prompt.to_json(),
        extra: workflow_json.map(|ui| ("workflow".to_owned(), ui)).into_iter().collect(),
        disabled: args.disable_metadata,
    };
    Ok((plan, metadata))
}

/// What is run: the outputs, or what `--only` names.
fn targets(only: &[String], prompt: &Prompt, registry: &Registry) -> Outcome<Targets> {
    if only.is_empty() {
        return Ok(Targets::Outputs);
    }
    let addresses = Addresses::new(prompt, registry);
    let found = only.iter().map(|name| match addresses.node(name) {
        Ok(id) => Ok(id.clone()),
        Err(why) => Err(Stop::wrong(format!("--only '{name}': {why}"))),
    });
    found.collect::<Outcome<_>>().map(Targets::Only)
}

/// Says which outputs are left out, and why.
fn warn_of_dropped(file: &Path, checked: Checked, editor: Option<&Json>, line: &Line) {
    let dropped: Vec<_> = checked.dropped().map(|id| (id, &checked.prompt.nodes[id].class_type)).collect();
    for (id, class) in dropped {
        line.note(format!("warning: {}: node {id} ({class}): this output is left out", file.display()));
    }
    let mut problems = checked.problems;
    if problems.0.is_empty() {
        return;
    }
    of_problems(file, &mut problems, editor).message.lines().for_each(|text| line.note(format!("warning: {text}")));
}
