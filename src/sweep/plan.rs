//! What a sweep is to do, as `sweep.json` holds it: with other values, or other files, it is another sweep.

use std::collections::BTreeSet;
use std::path::Path;

use redraft_engine::files;
use redraft_engine::folders::FolderPaths;
use serde_json::{Map, Value as Json, json};

use super::args::SweepArgs;
use super::axis::Axis;
use crate::exit::{Outcome, Stop};
use crate::named::Named;
use crate::out::plain;
use crate::{substitutes, workflow_file};

/// The version of `sweep.json`.
const FORMAT: u32 = 2;
/// The largest file that is read for a digest, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// The plan of a command. `named` are the models and pictures that the cells' workflows name, and `numerics` how they are computed.
pub(super) fn plan(args: &SweepArgs, named: &[Named], folders: &FolderPaths, numerics: &str) -> Outcome<Json> {
    let axes = args.axes.iter().map(|text| {
        let axis = Axis::parse(text).map_err(Stop::wrong)?;
        Ok(json!({ "axis": text, "values": axis.values.len(), "digest": digest(axis.values.join("\0").as_bytes()) }))
    });
    let base = args.directories.base_directory.as_deref().unwrap_or(Path::new("."));
    let base = base.canonicalize().map_err(Stop::wrong)?;
    let mut plan = json!({
        "format": FORMAT,
        "workflow": digest(&workflow_file::read_bytes(&args.file)?),
        "axes": axes.collect::<Outcome<Vec<_>>>()?,
        "jsonl": args.jsonl.as_deref().map(of_file).transpose()?,
        "repeat": args.repeat,
        "inputs": args.changes.inputs.as_deref().map(of_file).transpose()?,
        "set": args.changes.sets,
        "texts": by_path(args.changes.texts())?,
        "substitutes": args.changes.substitutes,
        "substitute_files": by_path(substitutes::files(&args.changes, &args.directories).iter().map(|file| file.as_path()))?,
        "prompt_seed": args.changes.reading.prompt_seed,
        "strict_names": args.changes.strict_names,
        "only": args.only,
        "base": base.to_string_lossy(),
        "numerics": numerics,
        "files": contents(named, folders),
    });
    if let Some(version) = args.changes.reading.semantics.0 {
        plan["semantics"] = json!(version.number());
    }
    Ok(plan)
}

/// Whether a JSON value is the plan of a sweep, of whatever version.
pub(super) fn is_plan(json: &Json) -> bool {
    json["format"].is_u64() && json["axes"].is_array() && json["workflow"].is_string()
}

/// What differs in two plans, for people.
pub(super) fn differences(before: &Json, now: &Json) -> Vec<String> {
    let empty = Map::new();
    let [before, now] = [before, now].map(|plan| plan.as_object().unwrap_or(&empty));
    let mut all = Vec::new();
    for key in keys(before, now) {
        let (was, is) = (before.get(key), now.get(key));
        if was == is {
            continue;
        }
        match (was.and_then(Json::as_object), is.and_then(Json::as_object)) {
            (Some(was), Some(is)) => {
                let other = keys(was, is).into_iter().filter(|file| was.get(*file) != is.get(*file));
                all.extend(other.map(|file| plain(file).into_owned()));
            }
            _ => all.push(called(key).to_owned()),
        }
    }
    all
}

fn keys<'j>(a: &'j Map<String, Json>, b: &'j Map<String, Json>) -> BTreeSet<&'j str> {
    a.keys().chain(b.keys()).map(String::as_str).collect()
}

/// What a part of the plan is called on the command line.
fn called(key: &str) -> &str {
    match key {
        "format" => "the version of sweep.json",
        "workflow" => "the workflow",
        "axes" => "--axis",
        "jsonl" => "--jsonl",
        "repeat" => "--repeat",
        "inputs" => "--inputs",
        "set" => "--set",
        "substitutes" => "--substitute",
        "prompt_seed" => "--prompt-seed",
        "semantics" => "--semantics",
        "strict_names" => "--strict-names",
        "only" => "--only",
        "base" => "the base directory",
        "numerics" => "the device and its numerics",
        "files" => "the models and pictures",
        other => other,
    }
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn of_file(path: &Path) -> Outcome<String> {
    let bytes = files::read(path, MAX_BYTES).map_err(|error| Stop::wrong(format!("{}: {error}", path.display())))?;
    Ok(digest(&bytes))
}

/// Digests of files, by their paths.
fn by_path<'p>(paths: impl Iterator<Item = &'p Path>) -> Outcome<Map<String, Json>> {
    paths.map(|path| Ok((path.to_string_lossy().into_owned(), json!(of_file(path)?)))).collect()
}

/// Digests of models and pictures, by the kind of their folder and their name.
fn contents(named: &[Named], folders: &FolderPaths) -> Map<String, Json> {
    let each = named.iter().filter_map(|file| file.digest(folders));
    each.map(|file| (format!("{} {}", file.folder, file.name), json!(file.blake3))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_by_option_and_file() {
        let plan = |seed: u64, model: &str| {
            json!({ "format": 2, "workflow": "w", "axes": [], "prompt_seed": seed,
            "files": { "checkpoints a.safetensors": model, "input b.png": "same" } })
        };
        assert!(is_plan(&plan(1, "x")) && !is_plan(&json!(null)) && !is_plan(&json!({ "format": 2 })));
        assert!(differences(&plan(1, "x"), &plan(1, "x")).is_empty());
        assert_eq!(differences(&plan(1, "x"), &plan(2, "y")), ["checkpoints a.safetensors", "--prompt-seed"]);
        let older = json!({ "format": 1, "workflow": "w", "axes": [], "prompt_seed": 1 });
        assert_eq!(differences(&older, &plan(1, "x")), ["the models and pictures", "the version of sweep.json"]);
    }
}
