//! What the editor's form says about things that are not here: which pack a node comes with, where a model can be had.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::Value;

use crate::versions::Version;

/// Longer texts are no names.
const MAX_TEXT: usize = 1000;

/// Hints of a workflow file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    packs: HashMap<String, Pack>,
    /// By the file's name without folders, in the order of the file.
    models: IndexMap<String, Model>,
}

/// A model that a workflow says it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The file's name, as the workflow has it.
    pub name: String,
    /// Where it can be had.
    pub url: String,
    /// The model folder that it belongs into, `checkpoints`.
    pub directory: Option<String>,
}

/// A pack of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// The name in ComfyUI's registry, or `author/repository`.
    pub name: String,
    pub version: Option<String>,
}

impl Pack {
    pub(crate) fn describe(&self) -> String {
        let version = self.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        match self.name.as_str() {
            "comfy-core" => {
                let known: Vec<_> = Version::all().map(Version::number).collect();
                format!("ComfyUI{version}, but not with {}, whose nodes are known here", known.join(" or "))
            }
            name => format!("the pack {name}{version}"),
        }
    }
}

impl Hints {
    /// Reads the hints of a file in the editor's form; there are none in the API form.
    pub fn of(workflow: Option<&Value>) -> Self {
        let mut hints = Self::default();
        let Some(workflow) = workflow else { return hints };
        hints.add_models(&workflow["models"]);
        let inner = workflow["definitions"]["subgraphs"].as_array().into_iter().flatten();
        let groups = workflow["extra"]["groupNodes"].as_object().into_iter().flat_map(|groups| groups.values());
        for graph in std::iter::once(workflow).chain(inner).chain(groups) {
            hints.add_models(&graph["models"]);
            graph["nodes"].as_array().into_iter().flatten().for_each(|node| hints.node(node));
        }
        hints
    }

    fn node(&mut self, node: &Value) {
        let properties = &node["properties"];
        self.add_models(&properties["models"]);
        let pack = text(&properties["cnr_id"]).or_else(|| text(&properties["aux_id"]));
        if let (Some(class), Some(name)) = (text(&node["type"]), pack) {
            let version = text(&properties["ver"]).filter(|version| version.len() <= 20);
            self.packs.entry(class).or_insert(Pack { name, version });
        }
    }

    fn add_models(&mut self, models: &Value) {
        for model in models.as_array().into_iter().flatten() {
            if let (Some(name), Some(url)) = (text(&model["name"]), text(&model["url"])) {
                let directory = text(&model["directory"]);
                self.models.entry(base_name(&name).to_owned()).or_insert(Model { name, url, directory });
            }
        }
    }

    /// The pack that a class comes with.
    pub fn pack(&self, class: &str) -> Option<&Pack> {
        self.packs.get(class)
    }

    /// Where a model of this name can be had.
    pub fn url(&self, name: &str) -> Option<&str> {
        self.models.get(base_name(name)).map(|model| model.url.as_str())
    }

    /// The models that the workflow lists with their folder, whether a node that is known here uses them or not.
    pub fn models(&self) -> impl Iterator<Item = (&Model, &str)> {
        self.models.values().filter_map(|model| Some((model, model.directory.as_deref()?)))
    }
}

/// A short text that is safe to print.
fn text(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty() && text.len() <= MAX_TEXT)?;
    Some(text.chars().filter(|c| !c.is_control()).collect())
}

/// The name without folders, in either system's way of writing.
pub(crate) fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn packs_and_urls_are_found_in_all_graphs() {
        let file = json!({
            "models": [{"name": "a.safetensors", "url": "https://x/a", "directory": "vae"}],
            "nodes": [{"type": "A", "properties": {"cnr_id": "pack-a", "ver": "1.2"}}, {"type": "B"}, 5],
            "definitions": {"subgraphs": [{"nodes": [{"type": "C", "properties": {
                "aux_id": "who/what", "models": [{"name": "b.ckpt", "url": "https://x/b"}, {"name": 3}]}}]}]},
            "extra": {"groupNodes": {"g": {"nodes": [{"type": "D", "properties": {"cnr_id": "comfy-core"}}]}}},
        });
        let hints = Hints::of(Some(&file));
        assert_eq!(hints.pack("A").unwrap().describe(), "the pack pack-a 1.2");
        assert_eq!(hints.pack("B"), None);
        assert_eq!(hints.pack("C").unwrap().name, "who/what");
        assert!(hints.pack("D").unwrap().describe().starts_with("ComfyUI, but not"));
        assert_eq!(hints.url("SD\\b.ckpt"), Some("https://x/b"));
        assert_eq!(hints.url("a.safetensors"), Some("https://x/a"));
        let listed: Vec<_> = hints.models().map(|(model, directory)| (model.name.as_str(), directory)).collect();
        assert_eq!(listed, [("a.safetensors", "vae")]);
        assert_eq!(Hints::of(None), Hints::default());
    }
}
