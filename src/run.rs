//! `redraft run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redraft_engine::check::{Checked, Runnable, check};
use redraft_engine::cx::{Cancel, Metadata};
use redraft_engine::event::Observer;
use redraft_engine::exec::{Engine, Outcome as RunOutcome};
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::problem::{Problem, ProblemKind, Problems};
use redraft_engine::prompt::{Prompt, Targets};
use redraft_engine::settable::Addresses;
use redraft_engine::stock::Known;
use redraft_engine::workflow::{Hints, Severity, Workflow};
use serde_json::Value as Json;

use crate::args::{Changes, RunArgs};
use crate::dump::{Taken, Taking};
use crate::exit::{Exit, Outcome, Stop};
use crate::named::named_files;
use crate::out::plain;
use crate::screen::Screen;
use crate::session::{self, of_problems};
use crate::substitutes::{self, Substitute};
use crate::worker::{Line, Message, Options, Worker};
use crate::{cache, directories, footprint, front, manifest, workflow_file};

/// A workflow in the queue.
enum Job {
    /// It was checked.
    Ready(Box<Ready>),
    /// It cannot run as things are, and is checked again before its turn: what it lacks, those before it may save.
    Again(PathBuf),
}

/// A workflow that was checked.
pub(crate) struct Ready {
    pub(crate) name: String,
    pub(crate) runnable: Runnable,
    /// The editor's form, for the metadata of saved files.
    pub(crate) editor: Option<Json>,
}

/// What is asked of a workflow.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) changes: &'a Changes,
    /// Nodes, if not the outputs.
    pub(crate) only: &'a [String],
    pub(crate) allow_partial: bool,
}

impl<'a> Asked<'a> {
    fn of(args: &'a RunArgs) -> Self {
        Self { changes: &args.changes, only: &args.only, allow_partial: args.allow_partial }
    }
}

/// Runs workflows one after the other. All are looked at first, so that what will fail is said early.
pub(crate) fn run(args: RunArgs, quiet: bool) -> Outcome {
    if args.dump.is_some() && args.files.len() > 1 {
        return Err(Stop::wrong("--dump takes the tensors of one workflow; give one FILE"));
    }
    if args.manifest.is_some() && args.files.len() > 1 {
        return Err(Stop::wrong("--manifest tells of one workflow; give one FILE"));
    }
    // Checked now, not after hours of sampling.
    directories::require_writable("--manifest", args.manifest.iter().flatten().next().map(PathBuf::as_path))?;
    directories::require_writable("--dump", args.dump.as_deref())?;
    let manifest = args.manifest.iter().flatten().next();
    for (option, file) in [("--manifest", manifest), ("--dump", args.dump.as_ref())] {
        let files = args.files.iter().map(PathBuf::as_path);
        let inputs = files.chain(args.changes.files()).chain(args.directories.files());
        directories::require_no_input(option, file.map(PathBuf::as_path), inputs)?;
    }
    let device = session::device(&args.compute)?;
    let mut screen = Screen::new(&args, quiet)?;
    let registry = Arc::new(Registry::linked()?);
    let mut folders = directories::folders(&args.directories)?;
    let disk = match args.dump {
        // Every node is to be called.
        Some(_) => None,
        None => cache::open(&args.directories, &args.keeping, &mut folders),
    };
    let folders = Arc::new(folders);
    let substitutes = substitutes::named(&args.changes, &args.directories)?;
    let (mut jobs, mut first_failure) = (Vec::new(), None);
    for (number, file) in args.files.iter().enumerate() {
        let prepared = prepare(Asked::of(&args), file, &substitutes, &registry, &folders, &mut |text| {
            screen.note(Some(number), &text)
        });
        match prepared {
            Ok(ready) => {
                let named = named_files(&ready.runnable.prompt, &registry, &folders);
                let named: Vec<_> = named.iter().filter_map(|file| file.path(&folders)).collect();
                for (option, file) in [("--manifest", manifest), ("--dump", args.dump.as_ref())] {
                    let named = named.iter().map(PathBuf::as_path);
                    directories::require_no_input(option, file.map(PathBuf::as_path), named)?;
                }
                jobs.push((number, Job::Ready(Box::new(ready))));
            }
            // No workflow before it could save what it lacks.
            Err(stop) if jobs.is_empty() && first_failure.is_none() => {
                screen.begin(number);
                let (exit, message) = (stop.exit, stop.message.clone());
                let outcome = Err(stop);
                screen.end(number, &outcome);
                if !args.keep_going || args.files.len() == 1 {
                    return outcome;
                }
                screen.error(&message);
                first_failure = Some(exit);
            }
            Err(stop) => {
                let why = stop.message.lines().next().unwrap_or_default();
                screen.note(
                    None,
                    &format!("warning: this will fail unless a workflow before it saves what it lacks: {why}"),
                );
                jobs.push((number, Job::Again(file.clone())));
            }
        }
    }
    let output = &folders.output;
    fs_err::create_dir_all(output).map_err(|e| Stop::wrong(format!("{e}; choose another --output-directory")))?;
    directories::require_takes_files("--output-directory", output)?;

    let args = Arc::new(args);
    let options = Options { previews: args.previews(), stop_at_failure: !args.keep_going };
    let command = Arc::clone(&args);
    let (mut worker, messages) = Worker::start(options, move || {
        let mut engine = session::engine(folders, device, command.cache, disk)?;
        let salt = session::salt(&engine);
        Ok(move |job: Job, line: &mut Line, cancel: &Cancel| {
            let ready = match job {
                Job::Ready(ready) => *ready,
                Job::Again(file) => {
                    prepare(Asked::of(&command), &file, &substitutes, &registry, &engine.folders, &mut |text| {
                        line.note(text)
                    })?
                }
            };
            let plan = Plan::of(ready.runnable, &registry, &engine.folders, &salt);
            footprint::of(&plan.prompt, &registry, &engine).into_iter().for_each(|text| line.note(text));
            let extra = ready.editor.map(|editor| ("workflow".to_owned(), editor)).into_iter().collect();
            let disabled = command.disable_metadata;
            let metadata = Metadata { prompt: plan.prompt.to_json(), extra, disabled };
            let (name, dump) = (&ready.name, command.dump.as_deref());
            let Some(to) = &command.manifest else {
                return one(name, &plan, &metadata, dump, &mut engine, line.clone(), cancel);
            };
            let manifest = manifest::Writer::begin(to.as_deref(), name, &plan, &engine);
            let mut record = manifest::Record::new(manifest::classes(&plan.prompt));
            let recording = manifest::Recording { inner: line, record: &mut record };
            let outcome = one(name, &plan, &metadata, dump, &mut engine, recording, cancel);
            let written = manifest.end(record, &outcome, &plan.prompt, &registry, &engine.folders);
            outcome.and_then(|exit| written.map(|()| exit))
        })
    })?;
    let (numbers, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
    for job in jobs {
        worker.submit(job);
    }
    let mut end = Ok(Exit::Done);
    front::watch(worker, messages, |job, message| match message {
        Message::Begun => screen.begin(numbers[job]),
        Message::Done(Some(outcome)) => {
            screen.end(numbers[job], &outcome);
            let Err(stop) = outcome else { return };
            if args.keep_going && job + 1 < numbers.len() && stop.exit != Exit::Cancelled {
                screen.error(&stop.message);
                first_failure = first_failure.or(Some(stop.exit));
            } else {
                end = Err(stop);
            }
        }
        // Of those that failure does not stop, only a cancelled one is not begun.
        Message::Done(None) if end.is_ok() => end = Err(Stop::new(Exit::Cancelled, "cancelled")),
        Message::Done(None) => {}
        Message::Event(event) => screen.event(event),
        Message::Note(text) => screen.note(Some(numbers[job]), &text),
        Message::At(_) => {}
    })?;
    screen.close();
    match (end, first_failure) {
        (Err(stop), Some(exit)) if stop.exit != Exit::Cancelled => Err(Stop { exit, ..stop }),
        (Ok(_), Some(exit)) => Ok(exit),
        (end, _) => end,
    }
}

/// Runs one workflow.
fn one(
    file: &str,
    plan: &Plan,
    metadata: &Metadata,
    dump: Option<&Path>,
    engine: &mut Engine,
    mut observer: impl Observer,
    cancel: &Cancel,
) -> Outcome {
    let mut taken = Taken::default();
    let outcome = match dump {
        Some(_) => engine.run(plan, metadata, &mut Taking { inner: observer, taken: &mut taken }, cancel),
        None => engine.run(plan, metadata, &mut observer, cancel),
    };
    if let Some(dump) = dump {
        let prompt = (!metadata.disabled).then_some(&metadata.prompt);
        taken.write(dump, prompt).map_err(|e| Stop::wrong(format!("{}: {e:#}", dump.display())))?;
    }
    ended(file, outcome)
}

/// How a run ended, as a command says it.
pub(crate) fn ended(file: &str, outcome: RunOutcome) -> Outcome {
    match outcome {
        RunOutcome::Done => Ok(Exit::Done),
        RunOutcome::Cancelled => Err(Stop::new(Exit::Cancelled, "cancelled")),
        RunOutcome::Failed(failure) => {
            let exit = Exit::of_failure(&failure);
            let mut message = format!("{file}: {}", plain(&failure.to_string()));
            let inputs = failure.inputs_in_words();
            if !inputs.is_empty() {
                message.push_str(&format!(
                    "\n{file}: node {} was given: {}",
                    plain(failure.place().as_str()),
                    plain(&inputs)
                ));
            }
            Err(Stop::new(exit, message))
        }
    }
}

/// Reads and checks a workflow. `note` is told what there is to say of it.
pub(crate) fn prepare(
    args: Asked<'_>,
    file: &Path,
    substitutes: &[Substitute],
    registry: &Registry,
    folders: &FolderPaths,
    note: &mut dyn FnMut(String),
) -> Outcome<Ready> {
    let name = workflow_file::name(file);
    let workflow = workflow_file::load(file, args.changes, substitutes, registry, folders, note)?;
    for remark in workflow.remarks.iter().filter(|remark| remark.severity == Severity::Warning) {
        note(format!("warning: {remark}"));
    }
    let Workflow { prompt, workflow_json: editor, .. } = workflow;
    let targets = targets(args.only, &prompt, registry).map_err(|stop| stop.of_file(&name))?;
    let mut checked = check(&prompt, registry, folders, &targets);
    for line in unneeded(&checked, editor.as_ref()) {
        note(format!("warning: {line}"));
    }
    for flaw in std::mem::take(&mut checked.flaws.0) {
        match flaw.kind {
            ProblemKind::MentionMissing if args.changes.strict_names => checked.problems.0.push(flaw),
            // The node says so itself when it runs, of linked texts, too.
            ProblemKind::MentionMissing => {}
            _ => note(format!("warning: {flaw}")),
        }
    }
    let runnable = if args.allow_partial {
        let stop = |problems: &Problems| of_problems(&mut problems.clone(), editor.as_ref()).of_file(&name);
        let runnable = checked.partial().map_err(stop)?;
        warn_of_dropped(checked, editor.as_ref(), note);
        runnable
    } else {
        let partial = partial(&checked);
        checked.whole().map_err(|mut problems| {
            let mut stop = of_problems(&mut problems, editor.as_ref());
            stop.message.extend(partial.map(|line| format!("\n{line}")));
            stop.of_file(&name)
        })?
    };
    Ok(Ready { name, runnable, editor })
}

/// Says that some outputs could run all the same.
fn partial(checked: &Checked) -> Option<String> {
    let (good, all) = (checked.good_outputs.len(), checked.outputs.len());
    (good > 0 && good < all)
        .then(|| format!("nothing is wrong with {good} of its {all} outputs: --allow-partial runs these"))
}

/// Says which nodes of unknown classes nothing needs.
pub(crate) fn unneeded(checked: &Checked, editor: Option<&Json>) -> Vec<String> {
    let mut unneeded = checked.unneeded.clone();
    unneeded.explain(&Hints::of(editor));
    let linked = |problem: &Problem| {
        let node = problem.node.as_ref().and_then(|id| checked.prompt.nodes.get(id));
        node.is_some_and(|node| node.inputs.values().any(|given| given.source().is_some()))
    };
    let each = unneeded.0.iter().map(|problem| {
        let shown = if linked(problem) { ", and what it may save or show is not made" } else { "" };
        format!("{problem}; nothing that is asked for needs it: it is left out{shown}")
    });
    each.collect()
}

/// What is run: the outputs, or what `--only` names.
fn targets(only: &[String], prompt: &Prompt, registry: &Registry) -> Outcome<Targets> {
    if only.is_empty() {
        return Ok(Targets::Outputs);
    }
    let known = Known(registry);
    let addresses = Addresses::new(prompt, &known);
    let found = only.iter().map(|name| match addresses.node(name) {
        Ok(id) => Ok(id.clone()),
        Err(why) => Err(Stop::wrong(format!("--only '{name}': {why}"))),
    });
    found.collect::<Outcome<_>>().map(Targets::Only)
}

/// Says which outputs are left out, and why.
fn warn_of_dropped(checked: Checked, editor: Option<&Json>, note: &mut dyn FnMut(String)) {
    let dropped: Vec<_> = checked.dropped().map(|id| (id, &checked.prompt.nodes[id].class_type)).collect();
    for (id, class) in dropped {
        note(format!("warning: node {id} ({class}): this output is left out"));
    }
    let mut problems = checked.problems;
    if problems.0.is_empty() {
        return;
    }
    of_problems(&mut problems, editor).message.lines().for_each(|text| note(format!("warning: {text}")));
}
