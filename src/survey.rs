//! `redraft survey`, hidden: which workflows of a folder have all their nodes here. It makes `docs/workflows.md`.

use std::path::Path;

use indexmap::{IndexMap, IndexSet};
use redraft_engine::check::check;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::plan::Targets;
use redraft_engine::problem::{Problem, ProblemKind};

use crate::exit::{Exit, Outcome, Stop, say};
use crate::source;

/// What one workflow lacks.
struct Lacks {
    file: String,
    /// ComfyUI's own nodes that cannot run yet, and nodes of packs.
    classes: IndexSet<String>,
    /// What is wrong beside missing things, in words.
    wrong: Vec<String>,
}

pub(crate) fn survey(directory: &Path) -> Outcome {
    let registry = Registry::linked();
    // Models and pictures are not what is asked for: none are here.
    let folders = FolderPaths::below(&directory.join("none"));
    let mut files = Vec::new();
    for entry in fs_err::read_dir(directory).map_err(Stop::wrong)? {
        let path = entry.map_err(Stop::wrong)?.path();
        if path.to_string_lossy().ends_with(".workflow.json") {
            files.push(path);
        }
    }
    files.sort();
    let all: Vec<_> = files.iter().map(|file| one(file, &registry, &folders)).collect::<Result<_, _>>()?;
    let runs = all.iter().filter(|lacks| lacks.classes.is_empty() && lacks.wrong.is_empty()).count();
    say(format!("{runs} of {} workflows have all their nodes here.\n", all.len()));
    say("| workflow | runs | lacks |\n|---|---|---|");
    for lacks in &all {
        let classes: Vec<_> = lacks.classes.iter().map(|class| format!("`{class}`")).collect();
        let words: Vec<_> = classes.into_iter().chain(lacks.wrong.iter().cloned()).collect();
        say(format!("| {} | {} | {} |", lacks.file, if words.is_empty() { "yes" } else { "no" }, words.join(", ")));
    }
    say("\nThe classes that most of them wait for:\n\n| class | workflows |\n|---|---|");
    let mut counts: IndexMap<&str, usize> = IndexMap::new();
    all.iter().flat_map(|lacks| &lacks.classes).for_each(|class| *counts.entry(class).or_default() += 1);
    counts.sort_by(|a, x, b, y| y.cmp(x).then(a.cmp(b)));
    counts.iter().for_each(|(class, count)| say(format!("| `{class}` | {count} |")));
    Ok(Exit::Done)
}

fn one(file: &Path, registry: &Registry, folders: &FolderPaths) -> Outcome<Lacks> {
    let workflow = source::read(file, 0, registry, folders)?;
    let problems = check(&workflow.prompt, registry, folders, &Targets::Outputs).problems.0;
    let lacks_class = |problem: &&Problem| matches!(problem.kind, ProblemKind::NotRunnable | ProblemKind::UnknownClass);
    let classes: IndexSet<String> = problems.iter().filter(lacks_class).map(|problem| problem.class.clone()).collect();
    let wrong = problems.iter().filter(|problem| !problem.kind.is_missing());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Ok(Lacks {
        file: name.trim_end_matches(".workflow.json").to_owned(),
        classes,
        wrong: wrong.map(|problem| problem.to_string().replace('|', "\\|")).collect(),
    })
}
