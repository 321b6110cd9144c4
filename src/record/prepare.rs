//! What is recorded of a workflow, found and checked before anything runs.

use std::path::Path;

use redraft_engine::check::{Runnable, check};
use redraft_engine::files;
use redraft_engine::folders::{Annotated, FolderPaths};
use redraft_engine::node::Registry;
use redraft_engine::prompt::{Given, NodeId, Prompt, Targets};
use redraft_engine::settable::Addresses;
use redraft_engine::stock::Known;
use redraft_engine::workflow::Severity;
use serde_json::Value as Json;

use super::boundaries::Boundaries;
use crate::args::RecordArgs;
use crate::case::MAX_PICTURE;
use crate::compare::upstream::only_needed;
use crate::exit::{Outcome, Stop};
use crate::named::{Named, named_files};
use crate::session::of_problems;
use crate::substitutes::Substitute;
use crate::workflow_file;

/// The most pictures of a folder that a node reads.
const MAX_PICTURES: usize = 1000;

/// A workflow that can be recorded.
pub(super) struct Prepared {
    /// What it is called in messages.
    pub(super) name: String,
    /// What the targets need, and nothing else; it names the pictures as the case does.
    pub(super) runnable: Runnable,
    pub(super) boundaries: Boundaries,
    pub(super) pictures: Vec<Picture>,
}

/// A picture that the workflow reads.
pub(super) struct Picture {
    /// Below the case's `input`.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

pub(super) fn prepare(
    args: &RecordArgs,
    file: &Path,
    substitutes: &[Substitute],
    registry: &Registry,
    folders: &FolderPaths,
    note: impl Fn(String),
) -> Outcome<Prepared> {
    let name = workflow_file::name(file);
    let workflow = workflow_file::load(file, &args.changes, substitutes, registry, folders, &mut |text| note(text))?;
    for remark in workflow.remarks.iter().filter(|remark| remark.severity == Severity::Warning) {
        note(format!("warning: {remark}"));
    }
    let (targets, boundaries) = aims(&args.nodes, &workflow.prompt, registry).map_err(|stop| stop.of_file(&name))?;
    let checked = check(&workflow.prompt, registry, folders, &targets);
    checked.flaws.0.iter().for_each(|flaw| note(format!("warning: {flaw}")));
    let Runnable { prompt, targets } = checked
        .whole()
        .map_err(|mut problems| of_problems(&mut problems, workflow.workflow_json.as_ref()).of_file(&name))?;
    let mut prompt = only_needed(&prompt, &targets);
    let boundaries = boundaries.unwrap_or_else(|| Boundaries::usual(&prompt, &targets, registry));
    let pictures = take_in(&mut prompt, registry, folders).map_err(|stop| stop.of_file(&name))?;
    Ok(Prepared { name, runnable: Runnable { prompt, targets }, boundaries, pictures })
}

/// What is run, and at which nodes something is expected, where the command says so.
fn aims(nodes: &[String], prompt: &Prompt, registry: &Registry) -> Outcome<(Targets, Option<Boundaries>)> {
    if nodes.is_empty() {
        return Ok((Targets::Outputs, None));
    }
    let known = Known(registry);
    let addresses = Addresses::new(prompt, &known);
    let found = nodes.iter().map(|name| match addresses.node(name) {
        Ok(id) => Ok(id.clone()),
        Err(why) => Err(Stop::wrong(format!("--node '{name}': {why}"))),
    });
    let found = found.collect::<Outcome<Vec<NodeId>>>()?;
    let boundaries = Boundaries::chosen(&found, prompt, registry);
    Ok((Targets::Only(found), Some(boundaries)))
}

/// Reads the pictures that nodes name. One of another folder than `input` is called after its folder from now on.
fn take_in(prompt: &mut Prompt, registry: &Registry, folders: &FolderPaths) -> Outcome<Vec<Picture>> {
    let mut pictures: Vec<Picture> = Vec::new();
    for file in named_files(prompt, registry, folders).iter().filter(|file| file.is_users()) {
        let own = match file.folder.as_str() {
            "input" => own_name(&file.name),
            "input_folders" => file.name.clone(),
            other => {
                return Err(Stop::wrong(format!(
                    "node {} ({}), input '{}': a case holds no pictures of the folder {other}; put {} into input and use LoadImage",
                    file.node, prompt.nodes[&file.node].class_type, file.input, file.name
                )));
            }
        };
        for (from, to) in names(file, &own, folders)? {
            if pictures.iter().any(|known| known.name == to) {
                continue;
            }
            let path = folders.find("input", &from).ok_or_else(|| Stop::wrong(format!("{from}: is gone")))?;
            let bytes =
                files::read(&path, MAX_PICTURE).map_err(|error| Stop::wrong(format!("{}: {error}", path.display())))?;
            pictures.push(Picture { name: to, bytes });
        }
        if own != file.name
            && let Some(node) = prompt.nodes.get_mut(&file.node)
        {
            node.inputs.insert(file.input.clone(), Given::Constant(Json::String(own)));
        }
    }
    Ok(pictures)
}

/// What a picture is called in the case: `a.png [output]` becomes `from-output/a.png`.
fn own_name(name: &str) -> String {
    let Annotated { folder, name: plain } = Annotated::parse(name);
    let plain = plain.replace('\\', "/");
    if folder == "input" { plain } else { format!("from-{folder}/{plain}") }
}

/// The picture that is named, or all of the folder, and what they are called in the case.
fn names(file: &Named, own: &str, folders: &FolderPaths) -> Outcome<Vec<(String, String)>> {
    if file.folder != "input_folders" {
        return Ok(vec![(file.name.clone(), own.to_owned())]);
    }
    let directory = folders.find(&file.folder, &file.name);
    let mut all = Vec::new();
    for entry in directory.into_iter().flat_map(std::fs::read_dir).flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let name = format!("{}/{}", file.name, entry.file_name().to_string_lossy());
            all.push((name.clone(), name));
        }
    }
    if all.len() > MAX_PICTURES {
        return Err(Stop::wrong(format!(
            "node {}, input '{}': the folder {} has more than {MAX_PICTURES} files; use a smaller one",
            file.node, file.input, file.name
        )));
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_other_folders_are_called_after_them() {
        assert_eq!(own_name("a.png"), "a.png");
        assert_eq!(own_name("sub\\a.png [input]"), "sub/a.png");
        assert_eq!(own_name("a.png [output]"), "from-output/a.png");
    }
}
