//! What the command line changes in a workflow: `--inputs`, `--set`, names of files that are elsewhere, and stand-ins.

use std::hash::{BuildHasher, Hasher};
use std::path::Path;

use redraft_engine::files;
use redraft_engine::folders::FolderPaths;
use redraft_engine::names;
use redraft_engine::node::Registry;
use redraft_engine::prompt::{Given, NodeId, Prompt, PromptNode};
use redraft_engine::schema::{Control, Kind};
use redraft_engine::settable::{self, Addresses};
use redraft_engine::stock::Known;
use redraft_engine::workflow::{self, MAX_JSON, Override};
use serde_json::Value as Json;

use crate::args::Changes;
use crate::exit::{Outcome, Stop};
use crate::substitutes::{self, Substitute};

/// The longest text that `--set NODE.INPUT=@FILE` takes, in bytes.
const MAX_TEXT: u64 = 16 << 20;
/// Random seeds are below this, as the editor's are: 2^50.
const RANDOM_BELOW: i128 = 1 << 50;

/// A value that the program itself sets, behind all that the command line does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) address: String,
    pub(crate) value: Literal,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    /// As `--set` reads it, with `@` and `random` meaning themselves.
    Text(String),
    Json(Json),
}

/// What the command line sets, found in one workflow.
pub(crate) struct Found {
    pub(crate) overrides: Vec<Override>,
    /// Lines for the person.
    pub(crate) notes: Vec<String>,
}

/// Finds everything that the command line changes in a prompt, and changes it there.
pub(crate) fn find(
    prompt: &Prompt,
    changes: &Changes,
    substitutes: &[Substitute],
    registry: &Registry,
    folders: &FolderPaths,
) -> Outcome<Found> {
    let mut finder =
        Finder { prompt: prompt.clone(), registry, found: Found { overrides: Vec::new(), notes: Vec::new() } };
    if let Some(file) = &changes.inputs {
        finder.inputs(file)?;
    }
    for set in &changes.sets {
        finder.set(set).map_err(|why| Stop::wrong(format!("--set '{set}': {why}")))?;
    }
    for Setting { address, value } in &changes.then {
        let set = |kind: Option<&Kind>| {
            Ok(match value {
                Literal::Text(text) => value_of(text.clone(), kind),
                Literal::Json(value) => value.clone(),
            })
        };
        finder.put(address, set).map_err(|why| Stop::wrong(format!("'{address}': {why}")))?;
    }
    finder.count_on(changes.count_on)?;
    if !changes.strict_names {
        finder.settle(folders);
    }
    finder.substitute(substitutes, folders)?;
    Ok(finder.found)
}

struct Finder<'a> {
    prompt: Prompt,
    registry: &'a Registry,
    found: Found,
}

impl Finder<'_> {
    /// Sets what a file says: a JSON object of values by address.
    fn inputs(&mut self, file: &Path) -> Outcome<()> {
        let wrong = |why: String| Stop::wrong(format!("--inputs {}: {why}", file.display()));
        let bytes = files::read(file, MAX_JSON as u64).map_err(|error| wrong(error.to_string()))?;
        let (values, _) = workflow::parse_json(&bytes).map_err(|error| wrong(error.to_string()))?;
        let Json::Object(values) = values else {
            return Err(wrong("is no object; write {\"NODE.INPUT\": VALUE}".to_owned()));
        };
        for (address, value) in values {
            self.put(&address, |_| Ok(value)).map_err(|why| wrong(format!("'{address}': {why}")))?;
        }
        Ok(())
    }

    fn set(&mut self, set: &str) -> Result<(), String> {
        let (address, text) = set.split_once('=').ok_or("has no value; write NODE.INPUT=VALUE")?;
        let mut random = None;
        self.put(address, |kind| {
            if let (Some(Kind::Int { min, max, .. }), "random") = (kind, text) {
                let number = drawn(min.unwrap_or(0), max.unwrap_or(RANDOM_BELOW));
                random = Some(number.clone());
                return Ok(number);
            }
            let text = match (text.strip_prefix("@@"), text.strip_prefix('@')) {
                (Some(rest), _) => format!("@{rest}"),
                (None, Some(file)) => text_of(Path::new(file))?,
                (None, None) => text.to_owned(),
            };
            Ok(value_of(text, kind))
        })?;
        if let Some(number) = random {
            self.found.notes.push(format!("{address} is {number}"));
        }
        Ok(())
    }

    /// Adds a number to every seed.
    fn count_on(&mut self, by: u64) -> Outcome<()> {
        if by == 0 {
            return Ok(());
        }
        for (node, input, seed, most) in seeds(&self.prompt, self.registry) {
            let next = seed + i128::from(by);
            if next > most {
                let why =
                    format!("--repeat: node {node}: {input} {seed} and {by} more are beyond {most}; give a lower seed");
                return Err(Stop::wrong(why));
            }
            self.change(node, input, redraft_engine::schema::integer(next));
        }
        Ok(())
    }

    /// Sets the input that an address means to a value, which may depend on what the input takes.
    fn put(&mut self, address: &str, value: impl FnOnce(Option<&Kind>) -> Result<Json, String>) -> Result<(), String> {
        let known = Known(self.registry);
        let found = Addresses::new(&self.prompt, &known).find(address);
        let (id, input) = found.map_err(|why| of_class(address, &self.prompt).unwrap_or(why))?;
        let id = id.clone();
        let class = known.declared(&self.prompt.nodes[&id].class_type);
        let kind = class.and_then(|class| settable::input_of(class, &input)).map(|input| &input.kind);
        let value = value(kind)?;
        let value = match (kind, value.as_f64()) {
            (Some(Kind::Int { .. }), Some(float)) if value.is_f64() => {
                if float.fract() != 0.0 {
                    return Err(format!("{value} is no whole number, which {input} wants; give one"));
                }
                redraft_engine::schema::integer(float as i128)
            }
            _ => value,
        };
        self.change(id, input, value);
        Ok(())
    }

    fn change(&mut self, node: NodeId, input: String, value: Json) {
        if let Some(changed) = self.prompt.nodes.get_mut(&node) {
            changed.inputs.insert(input.clone(), Given::Constant(value.clone()));
        }
        self.found.overrides.retain(|before| before.node != node || before.input != input);
        self.found.overrides.push(Override { node, input, value });
    }

    /// Puts stand-ins in the place of what is missing.
    fn substitute(&mut self, substitutes: &[Substitute], folders: &FolderPaths) -> Outcome<()> {
        let notes = &mut self.found.notes;
        substitutes::hold(&self.prompt, substitutes, self.registry, folders, &mut |note| notes.push(note))?;
        let mut filled = self.prompt.clone();
        substitutes::apply(&mut filled, substitutes, self.registry, folders, &mut |note| notes.push(note));
        for (id, node) in filled.nodes {
            for (input, given) in node.inputs {
                if let Given::Constant(value) = given
                    && self.prompt.nodes[&id].inputs[&input] != Given::Constant(value.clone())
                {
                    self.change(id.clone(), input, value);
                }
            }
        }
        Ok(())
    }

    /// Writes the names of model files as this machine has them.
    fn settle(&mut self, folders: &FolderPaths) {
        for renamed in names::settle(&mut self.prompt.clone(), &Known(self.registry), folders) {
            self.found.notes.push(format!("{}{renamed}", if renamed.elsewhere { "warning: " } else { "" }));
            self.change(renamed.node, renamed.input, Json::String(renamed.to));
        }
    }
}

/// What is wrong with an address that begins with a class, which may be that of several nodes.
fn of_class(address: &str, prompt: &Prompt) -> Option<String> {
    let is_name = |name: &str| {
        prompt.nodes.contains_key(name) || prompt.nodes.values().any(|node| node.title.as_deref() == Some(name))
    };
    let splits = address.match_indices('.').map(|(at, _)| (&address[..at], &address[at + 1..]));
    for (class, input) in splits.filter(|(name, _)| !is_name(name)) {
        let of_class = prompt.nodes.iter().filter(|(_, node)| node.class_type == class);
        let ids: Vec<_> = of_class.map(|(id, _)| id.as_str()).collect();
        let Some(first) = ids.first() else { continue };
        let nodes = if ids.len() == 1 { "node" } else { "nodes" };
        return Some(format!(
            "'{class}' is the class of the {nodes} {}; name one by its id or title, as in '{first}.{input}'",
            ids.join(", ")
        ));
    }
    None
}

/// A text as a value of an input.
fn value_of(text: String, kind: Option<&Kind>) -> Json {
    let is_text = matches!(kind, Some(Kind::Text { .. } | Kind::Combo { .. }));
    match serde_json::from_str(&text) {
        Ok(value) if !is_text => value,
        _ => Json::String(text),
    }
}

/// The seeds of a workflow that stand in it: node, input, number, and the highest that the input takes. Seeds are the whole numbers that
/// the editor counts on after a run.
pub(crate) fn seeds(prompt: &Prompt, registry: &Registry) -> Vec<(NodeId, String, i128, i128)> {
    let known = Known(registry);
    let of_node = |(id, node): (&NodeId, &PromptNode)| {
        let class = known.declared(&node.class_type);
        let seed = |(name, given): (&String, &Given)| {
            let Given::Constant(value) = given else { return None };
            let Kind::Int { max, control, .. } = &settable::input_of(class?, name)?.kind else { return None };
            let usual = matches!(name.as_str(), "seed" | "noise_seed");
            let is_seed = *control == Control::On || (*control == Control::Unset && usual);
            let number = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
            Some((id.clone(), name.clone(), number.filter(|_| is_seed)?, max.unwrap_or(RANDOM_BELOW)))
        };
        node.inputs.iter().filter_map(seed).collect::<Vec<_>>()
    };
    prompt.nodes.iter().flat_map(of_node).collect()
}

/// A random number from `min` to `max`, at most 2^50.
fn drawn(min: i128, max: i128) -> Json {
    let (low, high) = (min.max(0), max.min(RANDOM_BELOW));
    // The keys of a hash map are the only random numbers that the standard library draws.
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    let number = low + i128::from(random) % (high - low + 1).max(1);
    redraft_engine::schema::integer(number)
}

/// A text file's content, without the line end behind its last line.
fn text_of(file: &Path) -> Result<String, String> {
    let named = |why: String| format!("{}: {why}", file.display());
    let bytes = files::read(file, MAX_TEXT).map_err(|error| named(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| named("is no text in UTF-8".to_owned()))?;
    Ok(text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text)).to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn prompt() -> Prompt {
        let node = |class: &str, title: &str| PromptNode {
            class_type: class.to_owned(),
            inputs: [("seed".to_owned(), Given::Constant(json!(1)))].into_iter().collect(),
            title: Some(title.to_owned()),
        };
        let nodes = [("3".into(), node("KSampler", "v1.5 sampler")), ("7:2".into(), node("X", "X"))];
        Prompt { nodes: nodes.into_iter().collect() }
    }

    /// What is set, by address.
    fn found(changes: &Changes) -> Outcome<Vec<(String, Json)>> {
        let registry = Registry::linked().unwrap();
        let found = find(&prompt(), changes, &[], &registry, &FolderPaths::below(Path::new("/nowhere")))?;
        Ok(found.overrides.into_iter().map(|set| (format!("{}.{}", set.node, set.input), set.value)).collect())
    }

    fn set(sets: &[&str]) -> Outcome<Vec<(String, Json)>> {
        found(&Changes { sets: sets.iter().map(|set| (*set).to_owned()).collect(), ..Changes::default() })
    }

    #[test]
    fn set_finds_nodes_by_id_and_by_titles_with_dots() {
        let sets = ["v1.5 sampler.seed=18446744073709551615", "7:2.seed={\"a\": 1}", "3.sampler_name=5"];
        let expected = [("3.seed", json!(u64::MAX)), ("7:2.seed", json!({"a": 1})), ("3.sampler_name", json!("5"))];
        // A combo's choice is a text, whatever it looks like.
        assert_eq!(set(&sets).unwrap(), expected.map(|(address, value)| (address.to_owned(), value)));
        let stop = set(&["7:2.steps=3"]).unwrap_err();
        assert_eq!(stop.message, "--set '7:2.steps=3': node 7:2 (X) has no input 'steps'; it has seed");
    }

    #[test]
    fn a_class_in_place_of_a_node_is_said_to_be_one() {
        let why = |set_: &str| set(&[set_]).unwrap_err().message;
        assert_eq!(
            why("KSampler.seed=1"),
            "--set 'KSampler.seed=1': 'KSampler' is the class of the node 3; name one by its id or title, as in '3.seed'"
        );
        // A title that is a class's name as well is a title.
        assert_eq!(set(&["X.seed=5"]).unwrap(), [("7:2.seed".to_owned(), json!(5))]);
        assert!(why("KSamplr.seed=1").contains("no node has the id or title 'KSamplr'"));
    }

    #[test]
    fn fault_03_a_seed_is_never_cut_to_a_whole_number() {
        let stop = set(&["3.seed=1.9"]).unwrap_err();
        assert_eq!(stop.message, "--set '3.seed=1.9': 1.9 is no whole number, which seed wants; give one");
        assert_eq!(set(&["3.seed=2.0"]).unwrap(), [("3.seed".to_owned(), json!(2))]);
        assert_eq!(set(&["3.cfg=1.9"]).unwrap(), [("3.cfg".to_owned(), json!(1.9))]);
    }

    #[test]
    fn fault_15_texts_come_from_files_and_seeds_from_chance() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), "a house,\nred\n").unwrap();
        let address = format!("3.scheduler=@{}", file.path().display());
        let expected = |value: &str| [("3.scheduler".to_owned(), json!(value))];
        assert_eq!(set(&[&address]).unwrap(), expected("a house,\nred"));
        assert_eq!(set(&["3.scheduler=@@at"]).unwrap(), expected("@at"));
        assert!(set(&["3.scheduler=@/no/such/file"]).unwrap_err().message.contains("/no/such/file"));
        let draw = || set(&["3.seed=random"]).unwrap()[0].1.as_u64().unwrap();
        let drawn = [draw(), draw(), draw()];
        assert!(drawn.iter().all(|seed| *seed <= 1 << 50) && drawn[0] != drawn[1], "{drawn:?}");
        assert_eq!(set(&["7:2.seed=random"]).unwrap(), [("7:2.seed".to_owned(), json!("random"))]);
    }

    #[test]
    fn a_file_of_inputs_sets_them_all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let changes = Changes { inputs: Some(file.path().to_owned()), ..Changes::default() };
        fs_err::write(file.path(), r#"{"3.seed": 18446744073709551615, "X.seed": [1, 2]}"#).unwrap();
        let expected = [("3.seed".to_owned(), json!(u64::MAX)), ("7:2.seed".to_owned(), json!([1, 2]))];
        assert_eq!(found(&changes).unwrap(), expected);
        fs_err::write(file.path(), r#"{"9.seed": 1}"#).unwrap();
        let stop = found(&changes).unwrap_err();
        assert!(
            stop.message.ends_with("'9.seed': no node has the id or title '9'; `redraft inputs` shows all addresses")
        );
    }
}
