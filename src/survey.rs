//! `redraft survey`, hidden: which workflows of a folder have all their nodes here. It makes `docs/workflows.md`.

use std::path::Path;

use indexmap::{IndexMap, IndexSet};
use redraft_engine::check::check;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::problem::{Problem, ProblemKind};
use redraft_engine::prompt::Targets;
use redraft_engine::stock::Known;

use crate::args::Reading;
use crate::exit::{Exit, Outcome, Stop};
use crate::out::say_text as say;
use crate::told_families::Told;
use crate::workflow_file;

const HEAD: &str = "# Which workflows of the documentation run

Made by `redraft survey shared/conversions/documentation > docs/workflows.md`, which looks at nodes and at the names of models.
A workflow runs if every node that its outputs need is here, no value is wrong, and the family of its models is one that runs here.
";

/// What one workflow lacks.
struct Lacks {
    file: String,
    /// ComfyUI's own nodes that cannot run yet.
    stock: IndexSet<String>,
    /// Nodes of packs.
    foreign: IndexSet<String>,
    /// The families of its models.
    told: Told,
    /// What is wrong beside missing things, in words.
    wrong: Vec<String>,
}

impl Lacks {
    fn nothing(&self) -> bool {
        self.stock.is_empty() && self.foreign.is_empty() && self.wrong.is_empty() && self.told.supported()
    }
}

pub(crate) fn survey(directory: &Path) -> Outcome {
    let registry = Registry::linked()?;
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
    let count = |wanted: &dyn Fn(&Lacks) -> bool| all.iter().filter(|lacks| wanted(lacks)).count();
    say(HEAD);
    say(format!(
        "{} of {} run. {} of the others lack only nodes of ComfyUI itself, or a family of models; {} need nodes of other packs.\n",
        count(&Lacks::nothing),
        all.len(),
        count(&|lacks| !lacks.nothing() && lacks.foreign.is_empty()),
        count(&|lacks| !lacks.foreign.is_empty()),
    ));
    say("| workflow | family | runs | lacks of ComfyUI | lacks of packs |\n|---|---|---|---|---|");
    all.iter().for_each(|lacks| say(row(lacks)));
    say(
        "\nHow many workflows are for a family of models, and how many of them run:\n\n| family | workflows | run |\n|---|---|---|",
    );
    let mut families: IndexMap<String, (usize, usize)> = IndexMap::new();
    for lacks in &all {
        let (workflows, run) = families.entry(lacks.told.describe()).or_default();
        *workflows += 1;
        *run += usize::from(lacks.nothing());
    }
    families.sort_by(|a, x, b, y| y.cmp(x).then(a.cmp(b)));
    families.iter().for_each(|(family, (workflows, run))| say(format!("| {family} | {workflows} | {run} |")));
    say("\nHow many workflows wait for a node of ComfyUI:\n\n| node | workflows |\n|---|---|");
    let mut waiting: IndexMap<&str, usize> = IndexMap::new();
    all.iter().flat_map(|lacks| &lacks.stock).for_each(|class| *waiting.entry(class).or_default() += 1);
    waiting.sort_by(|a, x, b, y| y.cmp(x).then(a.cmp(b)));
    waiting.iter().for_each(|(class, count)| say(format!("| `{class}` | {count} |")));
    Ok(Exit::Done)
}

fn row(lacks: &Lacks) -> String {
    let quoted = |classes: &IndexSet<String>| {
        let each: Vec<_> = classes.iter().map(|class| format!("`{}`", class.replace('|', "\\|"))).collect();
        each.join(", ")
    };
    let runs = if lacks.nothing() { "yes" } else { "no" };
    let stock = [quoted(&lacks.stock), lacks.wrong.join(", ")].into_iter().filter(|text| !text.is_empty());
    let stock: Vec<_> = stock.collect();
    let family = lacks.told.describe();
    format!("| {} | {family} | {runs} | {} | {} |", lacks.file, stock.join("; "), quoted(&lacks.foreign))
}

fn one(file: &Path, registry: &Registry, folders: &FolderPaths) -> Outcome<Lacks> {
    let workflow = workflow_file::read(file, Reading::default(), registry, folders)?;
    let mut checked = check(&workflow.prompt, registry, folders, &Targets::Outputs);
    // What nobody here knows may save or show something, too.
    checked.problems.0.append(&mut checked.unneeded.0);
    let problems = checked.problems.0;
    let classes = |own: bool| {
        let lacks = |problem: &&Problem| matches!(problem.kind, ProblemKind::NotRunnable | ProblemKind::UnknownClass);
        let lacking = problems.iter().filter(lacks).map(|problem| problem.class.clone());
        lacking.filter(|class| Known(registry).is_own(class) == own).collect()
    };
    let wrong = problems.iter().filter(|problem| !problem.kind.is_missing());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Ok(Lacks {
        file: name.trim_end_matches(".workflow.json").to_owned(),
        stock: classes(true),
        foreign: classes(false),
        told: Told::by(&workflow.prompt),
        wrong: wrong.map(|problem| problem.to_string().replace('|', "\\|")).collect(),
    })
}
