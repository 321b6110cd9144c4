//! From a file to a prompt that can be planned: reading, what the command line changes, and what today's nodes need.

use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chrono::{Datelike, Timelike};
use redraft_engine::check::check;
use redraft_engine::files;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::problem::{Problem, ProblemKind};
use redraft_engine::prompt::Targets;
use redraft_engine::stock::{Known, ReadAs};
use redraft_engine::workflow::{self, App, Context, Form, LocalTime, MAX_JSON, Override, ReadError, Remark, Workflow};

use crate::args::{Changes, Reading};
use crate::changes;
use crate::exit::{Outcome, Stop};
use crate::substitutes::Substitute;

/// What a file is called in messages.
pub(crate) fn name(file: &Path) -> String {
    if is_stdin(file) { "stdin".to_owned() } else { file.display().to_string() }
}

/// Whether `-` stands where a file does.
fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Reads a workflow file and makes the changes that the command line asks for. `note` is told of each.
pub(crate) fn load(
    file: &Path,
    changes: &Changes,
    substitutes: &[Substitute],
    registry: &Registry,
    folders: &FolderPaths,
    note: &mut dyn FnMut(String),
) -> Outcome<Workflow> {
    load_as_is(file, changes, substitutes, registry, folders, note).map_err(|stop| stop.of_file(&name(file)))
}

fn load_as_is(
    file: &Path,
    changes: &Changes,
    substitutes: &[Substitute],
    registry: &Registry,
    folders: &FolderPaths,
    note: &mut dyn FnMut(String),
) -> Outcome<Workflow> {
    let bytes = read_bytes(file)?;
    let known = ReadAs(Known(registry), changes.reading.semantics.0);
    let context = Context { schemas: &known, folders, seed: changes.reading.prompt_seed, now: now() };
    let wrong = |error: ReadError| Stop::wrong(error);
    let prepared = |read: &dyn Fn(&[Override]) -> Result<Workflow, ReadError>| -> Outcome<_> {
        let plain = read(&[]).map_err(wrong)?;
        let found = changes::find(&plain.prompt, changes, substitutes, registry, folders)?;
        let editor = plain.workflow_json.clone().filter(|_| plain.form == Form::Api);
        let mut workflow = if found.overrides.is_empty() { plain } else { read(&found.overrides).map_err(wrong)? };
        workflow.fill_defaults(&known, folders);
        workflow.leave_out_muted(&known);
        Ok((workflow, found.notes, editor))
    };
    let (mut workflow, mut notes, editor) = prepared(&|overrides| workflow::read_with(&bytes, &context, overrides))?;
    // A picture's prompt may be of another day than its workflow, which the editor opens.
    if let Some(editor) = editor
        && let Some(problem) = misfit(&workflow, registry, folders)
        && let Ok((mut other, others, _)) =
            prepared(&|overrides| workflow::read_value_with(&editor, &context, overrides))
        && other.form == Form::Ui
        && misfit(&other, registry, folders).is_none()
    {
        let text = format!("its `prompt` does not fit today's nodes ({problem}): its `workflow` is taken");
        other.remarks.insert(0, Remark { severity: workflow::Severity::Warning, node: None, text });
        other.files = std::mem::take(&mut workflow.files);
        (workflow, notes) = (other, others);
    }
    for file in &workflow.files {
        folders.hand_in(&file.name, &file.bytes).map_err(|error| Stop::wrong(format!("{error:#}")))?;
    }
    notes.into_iter().for_each(note);
    Ok(workflow)
}

/// The first problem of a prompt that no file would solve.
fn misfit(workflow: &Workflow, registry: &Registry, folders: &FolderPaths) -> Option<Problem> {
    let problems = check(&workflow.prompt, registry, folders, &Targets::Outputs).problems.0;
    let of_files = |problem: &Problem| matches!(problem.kind, ProblemKind::FileMissing | ProblemKind::InputFileMissing);
    problems.into_iter().find(|problem| !of_files(problem))
}

/// What the author of a workflow that was read so chose for the editor's app view. Of a prompt whose workflow beside it cannot be read,
/// nothing.
pub(crate) fn app(
    workflow: &Workflow,
    reading: Reading,
    registry: &Registry,
    folders: &FolderPaths,
) -> Result<App, ReadError> {
    let schemas = ReadAs(Known(registry), reading.semantics.0);
    let context = Context { schemas: &schemas, folders, seed: reading.prompt_seed, now: now() };
    let Some(editor) = &workflow.workflow_json else { return Ok(App::default()) };
    match (workflow::app(editor, &context), workflow.form) {
        (Err(_), Form::Api) => Ok(App::default()),
        (read, _) => read,
    }
}

/// Reads a workflow file of any form.
pub(crate) fn read(file: &Path, reading: Reading, registry: &Registry, folders: &FolderPaths) -> Outcome<Workflow> {
    let schemas = ReadAs(Known(registry), reading.semantics.0);
    let context = Context { schemas: &schemas, folders, seed: reading.prompt_seed, now: now() };
    let read = read_bytes(file).and_then(|bytes| workflow::read(&bytes, &context).map_err(Stop::wrong));
    read.map_err(|stop| stop.of_file(&name(file)))
}

fn now() -> LocalTime {
    let now = chrono::Local::now();
    LocalTime {
        year: now.year(),
        month: now.month(),
        day: now.day(),
        hour: now.hour(),
        minute: now.minute(),
        second: now.second(),
    }
}

/// The most bytes that are read: a picture may be larger than a workflow; its metadata may not.
const MAX_BYTES: u64 = 16 * MAX_JSON as u64;

/// What a reader looks at: the whole file, or the header of a model, which may be far larger. A pipe or a device does not say
/// how many bytes it has: no more than allowed are taken. stdin is kept, for it can be read only once.
pub(crate) fn read_bytes(file: &Path) -> Outcome<Vec<u8>> {
    static STDIN: Mutex<Option<Vec<u8>>> = Mutex::new(None);
    if is_stdin(file) {
        let mut kept = STDIN.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match kept.take() {
            Some(bytes) => bytes,
            None => read_all(std::io::stdin().lock(), None)?,
        };
        return Ok(kept.insert(bytes).clone());
    }
    let opened = files::open(file).map_err(unreadable)?;
    let size = opened.metadata().map_err(unreadable)?.len();
    read_all(opened, Some(size))
}

fn unreadable(error: std::io::Error) -> Stop {
    Stop::wrong(format!("cannot be read: {error}; name a workflow that is there"))
}

fn read_all(mut from: impl Read, size: Option<u64>) -> Outcome<Vec<u8>> {
    let too_large = || Stop::wrong(format!("more than {MAX_BYTES} bytes are no workflow; name another file"));
    let mut bytes = Vec::new();
    (&mut from).take(16).read_to_end(&mut bytes).map_err(unreadable)?;
    let header = workflow::needed(&bytes);
    if header.or(size).is_some_and(|size| size > MAX_BYTES) {
        return Err(too_large());
    }
    let wanted = header.unwrap_or(MAX_BYTES + 1).saturating_sub(bytes.len() as u64);
    from.take(wanted).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES { Err(too_large()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn of_a_model_only_the_header_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), [&b"\x02\0\0\0\0\0\0\0{}"[..], &[7; 1000]].concat()).unwrap();
        assert_eq!(read_bytes(file.path()).unwrap().len(), 16);
        fs_err::write(file.path(), [b'{'; 1000]).unwrap();
        assert_eq!(read_bytes(file.path()).unwrap().len(), 1000);
        fs_err::write(file.path(), b"{}").unwrap();
        assert_eq!(read_bytes(file.path()).unwrap(), b"{}");
    }
}
