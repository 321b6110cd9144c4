//! `redraft sweep`: a workflow with every combination of some inputs' values.

mod args;
mod axis;
mod bench;
mod decimal;
mod folder;
mod grid;
mod layout;
mod lettering;
mod lines;
mod names;
mod plan;
mod sheet;
mod show;
mod table;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc;

use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::prompt::Prompt;

pub(crate) use self::args::SweepArgs;
use self::bench::{Bench, Job, changed};
use self::folder::Folder;
use self::grid::Grid;
use self::plan::plan;
use self::show::Show;
use crate::exit::{Exit, Outcome, Stop};
use crate::named::{Named, named_files};
use crate::out::{say, tell};
use crate::run::{Asked, prepare};
use crate::substitutes::{self, Substitute};
use crate::worker::{Options, Worker};
use crate::{cache, changes, directories, front, session};

/// Of each axis, so many values are tried on the workflow before anything runs.
const TRIED: usize = 1000;

pub(crate) fn sweep(args: SweepArgs, quiet: bool) -> Outcome {
    if args.changes.sets.iter().any(|set| set.ends_with("=random")) {
        return Err(Stop::wrong("--set …=random would be another number in each cell; give a number, or --repeat"));
    }
    let device = session::device(&args.compute)?;
    let grid = Arc::new(Grid::of(&args)?);
    let registry = Arc::new(Registry::linked()?);
    let mut folders = directories::folders(&args.directories)?;
    let substitutes = substitutes::named(&args.changes, &args.directories)?;
    let (order, named) = {
        let (prompt, named) = tried(&args, quiet, &grid, &substitutes, &registry, &folders)?;
        if args.repeat > 1 && changes::seeds(&prompt, &registry).is_empty() {
            return Err(Stop::wrong("--repeat: the workflow has no seed to count on; leave it out"));
        }
        (grid.order(&prompt, &registry)?, named)
    };
    if args.dry_run {
        order.iter().for_each(|cell| say(format!("cell {}: {}", cell + 1, grid.title(*cell))));
        return Ok(Exit::Done);
    }
    let numerics = device.open()?;
    let disk = cache::open(&args.directories, &args.keeping, &mut folders);
    let plan = plan(&args, &named, &folders, &numerics.describe())?;
    let folder = Folder::open(&args.out, grid.columns(), &plan, args.force)?;
    folders.save_in(folder.staging(), folder.staging().join("temp"));
    let (rows, table) = folder.begin(|cell| (cell < grid.len()).then(|| grid.values(cell)))?;
    let jobs: Vec<_> = order.into_iter().filter(|cell| !rows.contains_key(cell)).map(Job::Cell).collect();
    if !rows.is_empty() && !quiet {
        tell(format!("{} of {} cells are done already", rows.len(), grid.len()));
    }

    let jobs: Vec<_> = jobs.into_iter().chain([Job::Sheets]).collect();
    let (sender, made) = mpsc::channel();
    let mut show = Show::new(&args, Arc::clone(&grid), folder.staging(), jobs.clone(), made, quiet);
    let folders = Arc::new(folders);
    let (mut worker, messages) = Worker::start(Options::default(), move || {
        let engine = session::engine_on(folders, &device, numerics, args.cache, disk)?;
        let salt = session::salt(&engine);
        let args = Arc::new(args);
        let mut bench = Bench { args, grid, registry, substitutes, engine, salt, folder, table, rows, made: sender };
        Ok(move |job: Job, line: &mut _, cancel: &_| bench.work(job, line, cancel))
    })?;
    for job in jobs {
        worker.submit(job);
    }
    front::watch(worker, messages, |job, message| show.message(job, message))?;
    show.end()
}

/// Tries the values of the axes on the workflow, each with the first of the others: what is wrong is said before anything runs. Returns
/// the prompt of the first cell, and the files that all of them name, each once.
fn tried(
    args: &SweepArgs,
    quiet: bool,
    grid: &Grid,
    substitutes: &[Substitute],
    registry: &Registry,
    folders: &FolderPaths,
) -> Outcome<(Prompt, Vec<Named>)> {
    let (mut named, mut known) = (Vec::new(), HashSet::new());
    let mut said = HashSet::new();
    let mut try_one = |cell: usize| {
        let changes = changed(&args.changes, grid.cell(cell));
        let asked = Asked { changes: &changes, only: &args.only, allow_partial: false };
        let mut note = |text: String| {
            if said.insert(text.clone()) && (!quiet || text.starts_with("warning: ")) {
                tell(text);
            }
        };
        let ready = prepare(asked, &args.file, substitutes, registry, folders, &mut note).map_err(|stop| {
            let message = format!("cell {} ({}): {}", cell + 1, grid.title(cell), stop.message);
            Stop { message, ..stop }
        })?;
        let files = named_files(&ready.runnable.prompt, registry, folders).into_iter();
        named.extend(files.filter(|file| known.insert((file.folder.clone(), file.name.clone()))));
        Ok::<_, Stop>(ready)
    };
    let first = try_one(0)?;
    let lengths = grid.lengths();
    for (dimension, length) in lengths.iter().enumerate() {
        let mut place = vec![0; lengths.len()];
        for at in (1..*length).take(TRIED) {
            place[dimension] = at;
            try_one(grid.number(&place))?;
        }
    }
    Ok((first.runnable.prompt, named))
}
