//! Names of model files that were written on another machine: with `\`, or with other subfolders.

use serde_json::Value as Json;

use crate::error::nearest;
use crate::folders::FolderPaths;
use crate::live;
use crate::prompt::{Given, NodeId, Prompt};
use crate::schema::{Folders, Kind, Options, Schemas};
use crate::workflow::base_name;

/// A file name that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    pub node: NodeId,
    pub class: String,
    pub input: String,
    pub from: String,
    pub to: String,
    /// Whether `to` is in another subfolder than `from`, and not merely the same path written with `/`.
    pub elsewhere: bool,
}

impl std::fmt::Display for Renamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { node, class, input, from, to, elsewhere } = self;
        let why = if *elsewhere { "which is not there" } else { "which is how Windows writes it" };
        write!(f, "node {node} ({class}), input '{input}': using {to} in place of {from}, {why}")
    }
}

/// Changes the names of model files to those of this machine: `\` becomes `/`, and a missing file is replaced by the
/// one file of the same base name in other subfolders, if there is exactly one. Names of pictures stay as they are.
pub fn settle(prompt: &mut Prompt, schemas: &dyn Schemas, folders: &FolderPaths) -> Vec<Renamed> {
    let mut renamed = Vec::new();
    for (id, node) in &mut prompt.nodes {
        let Some(schema) = schemas.schema(&node.class_type) else { continue };
        for live in live::inputs(schema, &node.inputs) {
            let Kind::Combo { options: Options::Files { folder, besides }, .. } = &live.input.kind else { continue };
            let Some(Given::Constant(Json::String(name))) = node.inputs.get_mut(&live.name) else { continue };
            if folder == "input" || besides.contains(name) {
                continue;
            }
            let written = name.replace('\\', "/");
            let is_here = folders.find(folder, &written).is_some();
            let to = if is_here { Some(written) } else { elsewhere(name, folder, folders) };
            if let Some(to) = to.filter(|to| to != name) {
                let from = std::mem::replace(name, to.clone());
                let (node, class) = (id.clone(), schema.class.clone());
                renamed.push(Renamed { node, class, input: live.name, from, to, elsewhere: !is_here });
            }
        }
    }
    renamed
}

/// The only file of a kind that has the base name of `name`, in whatever folder.
pub(crate) fn elsewhere(name: &str, folder: &str, folders: &FolderPaths) -> Option<String> {
    let base = base_name(name).to_lowercase();
    let mut same = folders.list(folder).into_iter().filter(|file| base_name(file).to_lowercase() == base);
    same.next().filter(|_| same.next().is_none())
}

/// The file that a text most likely means by a name without an extension.
pub fn nearest_mention<'a>(name: &str, list: &'a [String]) -> Option<&'a str> {
    let stem = |file: &'a String| file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem);
    let found = |near: &str| list.iter().find(|file| stem(file) == near).map(String::as_str);
    nearest_file(name, list).or_else(|| found(nearest(name, list.iter().map(stem))?))
}

/// The file that is most likely meant: one of the same base name, or else the one whose name is most like it.
pub fn nearest_file<'a>(name: &str, list: &'a [String]) -> Option<&'a str> {
    let base = base_name(name).to_lowercase();
    let same = list.iter().find(|file| base_name(file).to_lowercase() == base);
    same.map(String::as_str).or_else(|| nearest(base_name(name), list.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::prompt::PromptNode;
    use crate::stock::Stock;

    fn settled(names: &[&str], given: &str) -> (String, Vec<Renamed>) {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let file = dir.path().join("models/loras").join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let inputs = [("lora_name".to_owned(), Given::Constant(json!(given)))].into_iter().collect();
        let node = PromptNode { class_type: "LoraLoader".into(), inputs, title: None };
        let mut prompt = Prompt { nodes: [(NodeId::from("1"), node)].into_iter().collect() };
        let renamed = settle(&mut prompt, &Stock, &FolderPaths::below(dir.path()));
        let Given::Constant(Json::String(name)) = &prompt.nodes["1"].inputs["lora_name"] else { panic!() };
        (name.clone(), renamed)
    }

    #[test]
    fn names_are_written_as_this_machine_has_them() {
        let (name, renamed) = settled(&["sd/a.safetensors"], "sd\\a.safetensors");
        assert_eq!((name.as_str(), renamed[0].elsewhere), ("sd/a.safetensors", false));
        let (name, renamed) = settled(&["sd/a.safetensors", "b.safetensors"], "other\\A.safetensors");
        assert_eq!((name.as_str(), renamed[0].elsewhere), ("sd/a.safetensors", true));
        assert!(renamed[0].to_string().starts_with("node 1 (LoraLoader), input 'lora_name': using sd/a.safetensors"));
        let (name, renamed) = settled(&["x/a.safetensors", "y/a.safetensors"], "a.safetensors");
        assert_eq!((name.as_str(), renamed.len()), ("a.safetensors", 0));
        let (_, renamed) = settled(&["x/a.safetensors", "y/a.safetensors"], "x/a.safetensors");
        assert!(renamed.is_empty());
    }
}
