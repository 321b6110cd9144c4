//! `redraft record`: a case for `verify` of a workflow.

mod boundaries;
mod measure;
mod prepare;
mod write;

use std::path::{Path, PathBuf};

use redraft_engine::cx::Cancel;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;

use self::measure::{PARTED, measure};
use self::prepare::{Prepared, prepare};
use self::write::{Recording, write};
use crate::args::RecordArgs;
use crate::bench::{Bench, Ran};
use crate::case::{CASE, Measured};
use crate::compare::{PICTURE_STEP, Place};
use crate::exit::{Exit, Outcome, Stop};
use crate::out::say;
use crate::worker::Line;
use crate::{directories, front, session, substitutes, workflow_file};

/// Below this no tolerance is measured: so much float32 may lose in a few operations.
const LEAST: f64 = 1e-5;

pub(crate) fn record(args: RecordArgs) -> Outcome {
    let made = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let done = std::sync::Arc::clone(&made);
    let finished = move |folder: &Path| {
        done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(folder.to_owned());
    };
    let outcome = front::alone(move |line, cancel| all(&args, line, cancel, &finished), |bars, text| bars.line(&text));
    // What was finished stands, whatever came after it.
    let made = made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    made.iter().for_each(|folder: &PathBuf| say(folder.display()));
    outcome
}

pub(crate) fn all(args: &RecordArgs, line: &Line, cancel: &Cancel, finished: &dyn Fn(&Path)) -> Outcome {
    let targets = case_folders(args)?;
    let registry = Registry::linked()?;
    let folders = directories::folders(&args.directories)?;
    let substitutes = substitutes::named(&args.changes, &args.directories)?;
    let mut all = Vec::new();
    for (file, folder) in args.files.iter().zip(&targets) {
        let name = workflow_file::name(file);
        let note = |text: String| line.note(if targets.len() > 1 { format!("{name}: {text}") } else { text });
        all.push((prepare(args, file, &substitutes, &registry, &folders, note)?, folder));
    }
    let mut bench = Bench::open(folders, session::device(&args.compute)?)?;
    for (number, (prepared, folder)) in all.into_iter().enumerate() {
        line.at(format!("case {} of {}: {}", number + 1, targets.len(), folder.display()));
        one(args, prepared, folder, &registry, &mut bench, line, cancel)?;
        finished(folder);
    }
    Ok(Exit::Done)
}

/// The folder of each case; each is free, or may be replaced.
fn case_folders(args: &RecordArgs) -> Outcome<Vec<PathBuf>> {
    let folders: Vec<PathBuf> = match args.files.as_slice() {
        [_] => vec![args.out.clone()],
        files => files.iter().map(|file| args.out.join(case_name(file))).collect(),
    };
    for (at, folder) in folders.iter().enumerate() {
        let shown = folder.display();
        if folders[..at].contains(folder) {
            return Err(Stop::wrong(format!("two workflows would be recorded as {shown}; record them one by one")));
        }
        if !folder.try_exists().map_err(Stop::wrong)? {
            can_be_made(folder)?;
            continue;
        }
        let is_case = folder.join(CASE).is_file();
        let is_empty = folder.is_dir() && std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
        if is_case || is_empty {
            directories::require_takes_files("--out", folder)?;
        }
        match (is_case, args.force) {
            (true, true) => {}
            (true, false) => {
                return Err(Stop::wrong(format!("--out: {shown} is a case already; --force replaces it")));
            }
            (false, _) if is_empty => {}
            (false, _) => {
                return Err(Stop::wrong(format!(
                    "--out: {shown} is there and no case; name a folder that is not there"
                )));
            }
        }
    }
    Ok(folders)
}

/// Whether a folder that is not there can be made when the workflow was run.
fn can_be_made(folder: &Path) -> Outcome<()> {
    let shown = folder.display();
    if folder.is_symlink() {
        return Err(Stop::wrong(format!("--out: {shown} is a link that leads nowhere; name another folder")));
    }
    if folder.file_name().is_none() {
        return Err(Stop::wrong(format!("--out: '{shown}' is no name of a folder; give one")));
    }
    let around = folder.ancestors().skip(1).map(|around| match around.as_os_str().is_empty() {
        true => Path::new("."),
        false => around,
    });
    let mut there = around.filter(|around| around.symlink_metadata().is_ok());
    there.next().map_or(Ok(()), |around| Ok(directories::require_takes_files("--out", around)?))
}

/// The file's name without its endings.
fn case_name(file: &Path) -> String {
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_suffix(".workflow").unwrap_or(&name).to_owned();
    if name == "-" || name.is_empty() { "stdin".to_owned() } else { name }
}

/// Runs a workflow, measures how far its outputs may vary, and writes the case.
fn one(
    args: &RecordArgs,
    mut prepared: Prepared,
    folder: &Path,
    registry: &Registry,
    bench: &mut Bench,
    line: &Line,
    cancel: &Cancel,
) -> Outcome<()> {
    let name = prepared.name.clone();
    let stop = |stop: Stop| stop.of_file(&name);
    bench.forget_handed_in();
    // The run reads the case's own pictures, as `verify` will.
    for picture in &prepared.pictures {
        bench.engine.folders.hand_in(&picture.name, &picture.bytes)?;
    }
    // A salt of its own: every node runs, whatever other workflows have in common with this one.
    let salt = format!("{} recorded {}", session::salt(&bench.engine), folder.display());
    let plan = Plan::of(prepared.runnable.clone(), registry, &bench.engine.folders, &salt);
    let ran = bench.run(&plan, line, cancel).map_err(stop)?;
    prepared.boundaries.keep_done(&ran.taken);
    not_numbers(&prepared, &ran).into_iter().for_each(|text| line.note(format!("warning: {name}: {text}")));
    let surroundings = bench.surroundings();
    let second = match args.tolerance {
        Some(_) => None,
        None => Some(measure(&prepared, &ran, registry, bench, line, cancel).map_err(stop)?),
    };
    let (measured, pictures) = second.map_or((None, Vec::new()), |(measured, pictures)| (Some(measured), pictures));
    let tolerance = match (args.tolerance, &measured) {
        (Some(given), _) => given,
        (None, measured) => measured.as_ref().map_or(LEAST, tolerance_of),
    };
    if let Some(measured) = &measured {
        say_measured(measured, tolerance, &prepared.name, line);
    }
    let of_picture = |at: usize| pictures.get(at).copied().unwrap_or(PICTURE_STEP);
    let recording = Recording { prepared: &prepared, ran: &ran, tolerance, measured, surroundings };
    write(&recording, &of_picture, registry, bench, folder)
        .map_err(|error| Stop::wrong(format!("{}: {error:#}", folder.display())))
}

/// Which of the expected outputs hold NaN: they would pass as long as they do.
fn not_numbers(prepared: &Prepared, ran: &Ran) -> Vec<String> {
    let expected = prepared.boundaries.of(&ran.taken);
    let place = |key: &str| Place::of_key(key, &prepared.runnable.prompt);
    let tensors = expected.tensors.iter().filter_map(|(key, tensor)| {
        let count = tensor.isnan().sum(tch::Kind::Int64).int64_value(&[]);
        (count > 0).then(|| format!("{}: {count} of {} values are NaN", place(key), tensor.numel()))
    });
    // JSON has no other word for it.
    let plain = expected.plain.iter().filter(|(_, value)| value.is_null());
    let plain = plain.map(|(key, _)| format!("{}: is NaN or infinite", place(key)));
    let what =
        |found: String| format!("{found}, and expected from now on; look whether this is what the workflow is to give");
    tensors.chain(plain).map(what).collect()
}

fn tolerance_of(measured: &Measured) -> f64 {
    // Two digits: more were no measurement.
    let tolerance = (measured.largest * measured.multiple).max(LEAST);
    format!("{tolerance:.1e}").parse().unwrap_or(tolerance)
}

fn say_measured(measured: &Measured, tolerance: f64, name: &str, line: &Line) {
    let Measured { largest, multiple, threads, attention, .. } = measured;
    line.note(format!(
        "{name}: a second run with {threads} thread{} and {attention} attention differs by {largest:.1e}: tolerance {tolerance:.1e} \
         ({multiple} times as much, at least {LEAST:.0e})",
        if *threads == 1 { "" } else { "s" }
    ));
    if measured.parted {
        line.note(format!(
            "warning: {name}: both runs part by more than {PARTED}: what this workflow makes depends on the last digits, and so wide a \
             tolerance proves little; choose nodes in front of the one that parts (--node), fewer steps, or give --tolerance"
        ));
    }
}
