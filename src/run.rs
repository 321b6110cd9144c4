//! `redraft run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redraft_engine::check::{Checked, Runnable, check};
use redraft_engine::cx::{Cancel, Metadata};
use redraft_engine::event::Event;
use redraft_engine::exec::{Engine, Outcome as RunOutcome};
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::problem::{ProblemKind, Problems};
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
use crate::substitutes::{self, Substitute};
use crate::worker::{Line, Message, Options, Worker};
use crate::{directories, front, workflow_file};

/// A workflow that was checked.
struct Job {
    file: PathBuf,
    runnable: Runnable,
    /// The editor's form, for the metadata of saved files.
    editor: Option<Json>,
}

/// Checks all workflows, then runs them one after the other.
pub(crate) fn run(args: RunArgs) -> Outcome {
    if args.dump.is_some() && args.files.len() > 1 {
        return Err(Stop::wrong("--dump takes the tensors of one workflow; give one FILE"));
    }
    // Checked now, not after hours of sampling.
    directories::require_writable("--dump", args.dump.as_deref())?;
    let device = session::device(&args.compute)?;
    let mut screen = Screen {
        bars: Bars::new(),
        json: args.json,
        previews: args.preview_directory.clone().map(Previews::into_folder).transpose()?,
    };
    let registry = Arc::new(Registry::linked()?);
    let folders = Arc::new(directories::folders(&args.directories)?);
    let substitutes = substitutes::named(&args.changes, &args.directories)?;
    let jobs = args.files.iter().map(|file| prepare(&args, file, &substitutes, &registry, &folders, &mut screen));
    let jobs = jobs.collect::<Outcome<Vec<_>>>()?;
    let output = &folders.output;
    fs_err::create_dir_all(output).map_err(|e| Stop::wrong(format!("{e}; choose another --output-directory")))?;
    directories::require_writable("--output-directory", Some(&output.join("x")))?;

    let options = Options { previews: args.previews(), stop_at_failure: !args.keep_going };
    let (cache, dump, disabled) = (args.cache, args.dump, args.disable_metadata);
    let (mut worker, messages) = Worker::start(options, move || {
        let mut engine = session::engine(folders, device, cache)?;
        let salt = session::salt(&engine);
        Ok(move |job: Job, line: &mut Line, cancel: &Cancel| {
            let plan = Plan::of(job.runnable, &registry, &engine.folders, &salt);
            let extra = job.editor.map(|editor| ("workflow".to_owned(), editor)).into_iter().collect();
            let metadata = Metadata { prompt: plan.prompt.to_json(), extra, disabled };
            one(&job.file, &plan, &metadata, dump.as_deref(), &mut engine, line, cancel)
        })
    })?;
    let last = jobs.len() - 1;
    for job in jobs {
        worker.submit(job);
    }
    let (mut first_failure, mut end) = (None, Ok(Exit::Done));
    front::watch(worker, messages, |job, message| match message {
        Message::Done(Some(Err(stop))) => {
            if args.keep_going && job < last && stop.exit != Exit::Cancelled {
                stop.message.lines().for_each(|text| screen.note(format!("error: {text}")));
                first_failure = first_failure.or(Some(stop.exit));
            } else {
                end = Err(stop);
            }
        }
        Message::Done(_) => {}
        Message::Event(event) => screen.event(event),
        Message::Note(text) => screen.note(text),
    })?;
    match (end, first_failure) {
        (Err(stop), Some(exit)) if stop.exit != Exit::Cancelled => Err(Stop { exit, ..stop }),
        (Ok(_), Some(exit)) => Ok(exit),
        (end, _) => end,
    }
}

/// Where events and notes are shown.
struct Screen {
    bars: Bars,
    json: bool,
    previews: Option<Previews>,
}

impl Screen {
    fn event(&mut self, event: Event) {
        match (event, &self.previews) {
            (Event::Preview { node, done, image, .. }, Some(previews)) => {
                if let Err(error) = previews.write(&node, done, &image) {
                    self.previews = None;
                    self.bars.line(&format!("warning: no more previews: {error:#}"));
                }
            }
            (event, _) if self.json => say(json!(event)),
            (event, _) => self.bars.show(&event),
        }
    }

    fn note(&mut self, text: String) {
        if self.json {
            say(json!({ "type": "note", "data": { "message": text } }));
        } else {
            self.bars.line(&text);
        }
    }
}

/// Runs one workflow.
fn one(
    file: &Path,
    plan: &Plan,
    metadata: &Metadata,
    dump: Option<&Path>,
    engine: &mut Engine,
    line: &mut Line,
    cancel: &Cancel,
) -> Outcome {
    let mut taken = Taken::default();
    let outcome = match dump {
        Some(_) => engine.run(plan, metadata, &mut Taking { inner: line.clone(), taken: &mut taken }, cancel),
        None => engine.run(plan, metadata, line, cancel),
    };
    if let Some(dump) = dump {
        taken.write(dump).map_err(|e| Stop::wrong(format!("{}: {e:#}", dump.display())))?;
    }
    match outcome {
        RunOutcome::Done => Ok(Exit::Done),
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

/// Reads and checks a workflow.
fn prepare(
    args: &RunArgs,
    file: &Path,
    substitutes: &[Substitute],
    registry: &Registry,
    folders: &FolderPaths,
    screen: &mut Screen,
) -> Outcome<Job> {
    let workflow =
        workflow_file::load(file, &args.changes, substitutes, registry, folders, &mut |text| screen.note(text))?;
    for remark in workflow.remarks.iter().filter(|remark| remark.severity == Severity::Warning) {
        screen.note(format!("warning: {}: {remark}", file.display()));
    }
    let Workflow { prompt, workflow_json: editor, .. } = workflow;
    let targets = targets(&args.only, &prompt, registry)?;
    let stop = |mut problems: Problems| of_problems(file, &mut problems, editor.as_ref());
    let mut checked = check(&prompt, registry, folders, &targets);
    for flaw in std::mem::take(&mut checked.flaws.0) {
        match flaw.kind {
            ProblemKind::MentionMissing if args.changes.strict_names => checked.problems.0.push(flaw),
            // The node says so itself when it runs, of linked texts, too.
            ProblemKind::MentionMissing => {}
            _ => screen.note(format!("warning: {}: {flaw}", file.display())),
        }
    }
    let runnable = if args.allow_partial {
        let runnable = checked.partial().map_err(|problems| stop(problems.clone()))?;
        warn_of_dropped(file, checked, editor.as_ref(), screen);
        runnable
    } else {
        checked.whole().map_err(stop)?
    };
    Ok(Job { file: file.to_owned(), runnable, editor })
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
fn warn_of_dropped(file: &Path, checked: Checked, editor: Option<&Json>, screen: &mut Screen) {
    let dropped: Vec<_> = checked.dropped().map(|id| (id, &checked.prompt.nodes[id].class_type)).collect();
    for (id, class) in dropped {
        screen.note(format!("warning: {}: node {id} ({class}): this output is left out", file.display()));
    }
    let mut problems = checked.problems;
    if problems.0.is_empty() {
        return;
    }
    of_problems(file, &mut problems, editor).message.lines().for_each(|text| screen.note(format!("warning: {text}")));
}
