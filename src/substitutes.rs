//! Stand-ins for models and pictures that are missing: `--substitute`, and tables of them in files.

use std::path::{Path, PathBuf};

use redraft_engine::folder_kinds::FolderKind;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::prompt::{Given, NodeId, Prompt};
use redraft_engine::table::Row;
use toml::{Table, Value};

use crate::args::{Changes, Directories};
use crate::exit::{Outcome, Stop};
use crate::named::{Named, named_files};

/// The longest table, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// The file in the base directory that is read without being told.
pub(crate) const USUAL: &str = "substitutes.toml";

/// A file that is used in place of missing ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Substitute {
    /// The kind of folder that the missing file belongs to, `checkpoints`; any without one.
    folder: Option<String>,
    /// What the missing file's name is like: `*` stands for any text, `?` for a character.
    pattern: String,
    /// The file that is used, in a folder of the same kind.
    file: String,
}

/// All that the options name, those first that come first: `--substitute`, the files of `--substitutes`, and
/// `substitutes.toml` in the base directory.
pub(crate) fn named(changes: &Changes, directories: &Directories) -> Outcome<Vec<Substitute>> {
    let mut all = changes.substitutes.iter().map(|text| of_option(text)).collect::<Outcome<Vec<_>>>()?;
    for file in files(changes, directories) {
        let wrong = |why: String| Stop::wrong(format!("{}: cannot be used as substitutes: {why}", file.display()));
        let text = redraft_engine::files::read(&file, MAX_BYTES).map_err(|error| wrong(error.to_string()))?;
        let text = String::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
        all.extend(of_table(&text).map_err(wrong)?);
    }
    Ok(all)
}

/// The files of stand-ins that are read.
pub(crate) fn files(changes: &Changes, directories: &Directories) -> Vec<PathBuf> {
    let usual = directories.base_directory.as_deref().unwrap_or(Path::new(".")).join(USUAL);
    let usual = usual.symlink_metadata().is_ok().then_some(usual);
    changes.substitute_files.iter().cloned().chain(usual).collect()
}

fn of_option(text: &str) -> Outcome<Substitute> {
    match text.split_once('=') {
        Some((pattern, file)) => Ok(Substitute { folder: None, pattern: pattern.to_owned(), file: file.to_owned() }),
        None => Err(Stop::wrong(format!("--substitute '{text}': has no file; write PATTERN=FILE"))),
    }
}

/// A table for each kind of folder, of patterns and files. The error says what is wrong and how to write it.
fn of_table(text: &str) -> Result<Vec<Substitute>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut all = Vec::new();
    for (folder, files) in table {
        if folder != "input" && FolderKind::find(&folder).is_none() {
            let names: Vec<&str> = FolderKind::all().iter().map(|kind| kind.name).collect();
            return Err(format!("there is no kind of folder '{folder}'; there are input, {}", names.join(", ")));
        }
        let Value::Table(files) = files else {
            return Err(format!("'{folder}' is no table; write [{folder}] and below it \"PATTERN\" = \"FILE\""));
        };
        for (pattern, file) in files {
            let Value::String(file) = file else {
                return Err(format!("{folder}, '{pattern}': {file} is no file name; write \"{pattern}\" = \"FILE\""));
            };
            all.push(Substitute { folder: Some(folder.clone()), pattern, file });
        }
    }
    Ok(all)
}

/// Holds the options against a prompt: a pattern that nothing matches is told.
///
/// # Errors
/// If an option's file is missing where it is to stand in.
pub(crate) fn hold(
    prompt: &Prompt,
    substitutes: &[Substitute],
    registry: &Registry,
    folders: &FolderPaths,
    note: &mut dyn FnMut(String),
) -> Outcome<()> {
    // The files that the prompt names, with their kind of folder.
    let named = named_files(prompt, registry, folders);
    for Substitute { pattern, file, .. } in substitutes.iter().filter(|one| one.folder.is_none()) {
        let matched: Vec<_> = named.iter().filter(|one| matches(pattern, &one.name)).collect();
        if matched.is_empty() {
            let option = format!("--substitute '{pattern}={file}'");
            note(format!("warning: {option}: no model or picture of the workflow matches {pattern}"));
        }
        let Some(missing) = matched.iter().find(|one| one.path(folders).is_none()) else { continue };
        if !matched.iter().any(|one| folders.find(&one.folder, file).is_some()) {
            let places: Vec<_> =
                folders.directories(&missing.folder).iter().map(|dir| dir.display().to_string()).collect();
            let places = places.join(" or ");
            return Err(Stop::wrong(format!(
                "--substitute '{pattern}={file}': there is no file {file} in {places}; put it there or name another"
            )));
        }
    }
    Ok(())
}

/// Puts the first substitute that fits in the place of each missing file. `note` is told of each.
pub(crate) fn apply(
    prompt: &mut Prompt,
    substitutes: &[Substitute],
    registry: &Registry,
    folders: &FolderPaths,
    note: &mut dyn FnMut(String),
) {
    for Named { node: id, input, folder, name } in named_files(prompt, registry, folders) {
        let Some(node) = prompt.nodes.get_mut(&id).filter(|_| folders.find(&folder, &name).is_none()) else { continue };
        let place = Place { id: &id, class: &node.class_type, folder: &folder, folders };
        if let Some(file) = place.filled(&name, substitutes, note) {
            note(format!("node {id} ({}): using {file} in place of {name}, which is missing", node.class_type));
            node.inputs.insert(input, Given::Constant(file.into()));
        }
    }
}

/// An input that names a file.
struct Place<'a> {
    id: &'a NodeId,
    class: &'a str,
    folder: &'a str,
    folders: &'a FolderPaths,
}

impl Place<'_> {
    /// The first substitute for a name that is there itself.
    fn filled<'s>(&self, name: &str, substitutes: &'s [Substitute], note: &mut dyn FnMut(String)) -> Option<&'s str> {
        let Place { id, class, folder, folders } = self;
        for Substitute { folder: of, pattern, file } in substitutes {
            if of.as_deref().is_some_and(|of| of != *folder) || !matches(pattern, name) {
                continue;
            }
            if folders.find(folder, file).is_some() {
                return Some(file);
            }
            // A pattern without a kind of folder may well be meant for files of another kind.
            if of.is_some() {
                note(format!(
                    "warning: node {id} ({class}): {file}, which is to stand in for {name}, is missing as well"
                ));
            }
        }
        None
    }
}

/// Whether `name` matches a pattern of `*` (any text) and `?` (one character), upper and lower case alike.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on if the rest does not fit: behind the last star, one character further.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    retry = Some((after_star, from + 1));
                    (p, n) = (after_star, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use redraft_engine::prompt::PromptNode;
    use serde_json::{Value as Json, json};

    use super::*;

    #[test]
    fn a_table_is_read_in_its_order() {
        let text = "[loras]\n\"*\" = \"style.safetensors\"\n[checkpoints]\n\"z*\" = \"a.ckpt\"\n\"*\" = \"b.ckpt\"\n";
        let read = of_table(text).unwrap();
        let brief: Vec<(&str, &str, &str)> =
            read.iter().map(|one| (one.folder.as_deref().unwrap(), one.pattern.as_str(), one.file.as_str())).collect();
        let wanted =
            [("loras", "*", "style.safetensors"), ("checkpoints", "z*", "a.ckpt"), ("checkpoints", "*", "b.ckpt")];
        assert_eq!(brief, wanted);
    }

    #[test]
    fn a_wrong_table_says_how_to_write_it() {
        for (text, words) in [
            ("[checkpoint]\n\"*\" = \"a\"", "there is no kind of folder 'checkpoint'; there are input, checkpoints,"),
            (
                "checkpoints = \"a\"",
                "'checkpoints' is no table; write [checkpoints] and below it \"PATTERN\" = \"FILE\"",
            ),
            ("[vae]\n\"a*\" = 1", "vae, 'a*': 1 is no file name; write \"a*\" = \"FILE\""),
            ("[vae", "TOML parse error at line 1"),
        ] {
            let error = of_table(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_first_that_fits_and_is_there_is_taken() {
        let base = tempfile::tempdir().unwrap();
        for file in ["models/checkpoints/tiny.ckpt", "models/checkpoints/here.ckpt", "models/vae/tiny.pt"] {
            fs_err::create_dir_all(base.path().join(file).parent().unwrap()).unwrap();
            fs_err::write(base.path().join(file), "").unwrap();
        }
        let folders = FolderPaths::below(base.path());
        let table = "[checkpoints]\n\"v1*\" = \"gone.ckpt\"\n\"*\" = \"tiny.ckpt\"\n[vae]\n\"*\" = \"tiny.pt\"\n";
        let mut substitutes = vec![of_option("*b*=here.ckpt").unwrap()];
        substitutes.extend(of_table(table).unwrap());
        let node = |class: &str, input: &str, name: &str| PromptNode {
            class_type: class.to_owned(),
            inputs: [(input.to_owned(), Given::Constant(json!(name)))].into_iter().collect(),
            title: None,
        };
        let checkpoint = |name| node("CheckpointLoaderSimple", "ckpt_name", name);
        let mut prompt = Prompt {
            nodes: [
                ("1".into(), checkpoint("v1-5.ckpt")),
                ("2".into(), checkpoint("sub/b.ckpt")),
                ("3".into(), checkpoint("here.ckpt")),
                ("4".into(), node("VAELoader", "vae_name", "b.pt")),
                ("5".into(), node("LoraLoader", "lora_name", "b.safetensors")),
            ]
            .into_iter()
            .collect(),
        };
        let mut notes = Vec::new();
        apply(&mut prompt, &substitutes, &Registry::linked().unwrap(), &folders, &mut |note| notes.push(note));
        let names: Vec<Json> =
            prompt.nodes.values().map(|node| node.inputs.values().next().unwrap().to_json()).collect();
        assert_eq!(names, ["tiny.ckpt", "here.ckpt", "here.ckpt", "tiny.pt", "b.safetensors"]);
        let wanted = [
            "warning: node 1 (CheckpointLoaderSimple): gone.ckpt, which is to stand in for v1-5.ckpt, is missing as well",
            "node 1 (CheckpointLoaderSimple): using tiny.ckpt in place of v1-5.ckpt, which is missing",
            "node 2 (CheckpointLoaderSimple): using here.ckpt in place of sub/b.ckpt, which is missing",
            "node 4 (VAELoader): using tiny.pt in place of b.pt, which is missing",
        ];
        assert_eq!(notes, wanted);
    }

    #[test]
    fn patterns_match_as_a_shell_matches_them() {
        for (pattern, name) in [
            ("v1-5*", "v1-5-pruned-emaonly-fp16.safetensors"),
            ("*", ""),
            ("*.PNG", "vivi (1).png"),
            ("a*b*c", "aXbXbXc"),
            ("?.png", "ä.png"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("v1-5", "v1-5-x"), ("a*b", "abc"), ("?", ""), ("", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
