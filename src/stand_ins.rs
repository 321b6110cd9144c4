//! `redraft stand-ins`: pictures that workflows name and that are not there, made as drafts.

use indexmap::IndexMap;
use redraft_engine::check::check;
use redraft_engine::folders::{Annotated, FolderPaths};
use redraft_engine::node::Registry;
use redraft_engine::problem::Problem;
use redraft_engine::prompt::{Given, NodeId, Prompt, Targets};
use redraft_nodes::pictures::stand_in::write_stand_in;

use crate::args::{Changes, StandInsArgs};
use crate::exit::{Exit, Outcome, say, tell};
use crate::{directories, workflow_file};

/// The classes that read pictures.
const READERS: [&str; 3] = ["LoadImage", "LoadImageMask", "LoadImageOutput"];
/// Stands for the folders inside the input folder.
const FOLDERS: &str = "input_folders";
/// The pictures of a folder that is made.
const OF_A_FOLDER: [&str; 3] = ["draft-1.png", "draft-2.png", "draft-3.png"];

/// Pictures to be made, by folder (`input`, `output`, `temp`) and name, and whether their transparency is used.
type Wanted = IndexMap<(&'static str, String), bool>;

pub(crate) fn stand_ins(args: &StandInsArgs) -> Outcome {
    let registry = Registry::linked()?;
    let folders = directories::folders(&args.directories)?;
    let changes = Changes { strict_names: true, ..Changes::default() };
    let mut wanted = Wanted::new();
    for file in &args.files {
        let workflow = workflow_file::load(file, &changes, &[], &registry, &folders, &mut |_| {})?;
        let problems = check(&workflow.prompt, &registry, &folders, &Targets::Outputs).problems;
        for problem in problems.0.iter().filter(|problem| problem.kind.is_missing()) {
            if !add(&mut wanted, problem, &workflow.prompt) && problem.about.contains_key("name") {
                tell(format!("{}: {problem} (no stand-in can be made for it)", file.display()));
            }
        }
    }
    for ((folder, name), hole) in &wanted {
        for directory in directories(&folders, folder) {
            if let Some(path) = write_stand_in(directory, name, (args.width, args.height), *hole)? {
                say(path.display());
            }
        }
    }
    Ok(Exit::Done)
}

/// Adds the pictures that would solve a problem; `false` if no picture would.
fn add(wanted: &mut Wanted, problem: &Problem, prompt: &Prompt) -> bool {
    let about = |what: &str| problem.about.get(what).and_then(|value| value.as_str());
    let (Some(name), Some(node)) = (about("name"), &problem.node) else { return false };
    if about("folder") == Some(FOLDERS) {
        for picture in OF_A_FOLDER {
            wanted.entry(("input", format!("{name}/{picture}"))).or_default();
        }
        return true;
    }
    if !READERS.contains(&problem.class.as_str()) {
        return false;
    }
    let Annotated { folder, name } = Annotated::parse(name);
    *wanted.entry((folder, name.to_owned())).or_default() |= transparency_is_used(prompt, node);
    true
}

/// Whether the mask of a node that reads a picture goes anywhere.
fn transparency_is_used(prompt: &Prompt, reader: &NodeId) -> bool {
    let is_alpha = |given: &Given| matches!(given, Given::Constant(value) if value == "alpha");
    if prompt.nodes.get(reader).is_some_and(|node| node.inputs.get("channel").is_some_and(is_alpha)) {
        return true;
    }
    let takes_mask = |given: &Given| matches!(given, Given::Link { node, slot: 1 } if node == reader);
    prompt.nodes.values().any(|node| node.inputs.values().any(takes_mask))
}

fn directories<'f>(folders: &'f FolderPaths, folder: &str) -> impl Iterator<Item = &'f std::path::Path> {
    folders.directories(folder).iter().take(1).map(|path| path.as_path())
}
