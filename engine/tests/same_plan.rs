//! What does not change the meaning of a workflow does not change its plan: other ids, another order of nodes and links,
//! the way from the editor's form to the API form and back into a picture.
// The toy nodes are planned and never run.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stderr)]

use std::collections::HashMap;
use std::path::Path;

use proptest::prelude::*;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::key::Key;
use redraft_engine::node::{Registry, Run};
use redraft_engine::object_info::ObjectInfo;
use redraft_engine::plan::Plan;
use redraft_engine::prompt::{Given, NodeId, Prompt, Targets};
use redraft_engine::schema::Schemas;
use redraft_engine::workflow::{Context, LocalTime, parse_json, read, read_value};
use serde_json::{Map, Value, json};

#[derive(Node)]
#[node(category = "toy")]
struct ToySource {
    #[input(default = 0, min = 0, max = u64::MAX)]
    seed: u64,
    #[input(default = 1.0)]
    strength: f64,
    #[input(default = "")]
    text: String,
}

impl Run for ToySource {
    type Out = (i64, i64);
    fn run(self, _: &mut Cx) -> anyhow::Result<(i64, i64)> {
        anyhow::bail!("is never called")
    }
}

#[derive(Node)]
#[node(category = "toy")]
struct ToyMix {
    #[input(force_input)]
    a: i64,
    #[input(force_input)]
    b: Option<i64>,
    #[input(default = 3)]
    steps: u64,
}

impl Run for ToyMix {
    type Out = i64;
    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        anyhow::bail!("is never called")
    }
}

#[derive(Node)]
#[node(category = "toy", output)]
struct ToySave {
    #[input(force_input)]
    value: i64,
    #[input(default = "name")]
    name: String,
}

impl Run for ToySave {
    type Out = ();
    fn run(self, _: &mut Cx) -> anyhow::Result<()> {
        anyhow::bail!("is never called")
    }
}

fn context(schemas: &dyn Schemas) -> Context<'_> {
    Context { schemas, folders: &(), seed: 0, now: LocalTime::default() }
}

/// The keys of all nodes that the outputs need, sorted, and those of the outputs alone.
fn plan_keys(prompt: &Prompt, registry: &Registry) -> (Vec<Key>, Vec<Key>) {
    let folders = FolderPaths::below("nowhere".as_ref());
    let plan = Plan::new(prompt.clone(), registry, &folders, &Targets::Outputs, "").unwrap();
    let sorted = |mut keys: Vec<Key>| {
        keys.sort_unstable();
        keys
    };
    let all = plan.order().map(|at| plan.step(at).key).collect();
    let outputs = plan.targets().iter().map(|at| plan.step(*at).key).collect();
    (sorted(all), sorted(outputs))
}

/// A graph without circles: of each node a kind, its values, and which earlier nodes it takes from.
#[derive(Clone, Debug)]
struct Drawn {
    mixed: bool,
    seed: u64,
    text: String,
    from: [(usize, usize); 2],
    muted_link: bool,
    saved: bool,
    mode: i64,
}

fn graphs() -> impl Strategy<Value = Vec<Drawn>> {
    let seed = prop_oneof![Just(u64::MAX), 0u64..100, any::<u64>()];
    let slot = || (any::<usize>(), 0usize..2);
    let mode = prop_oneof![8 => Just(0i64), 1 => Just(4)];
    let node = (any::<bool>(), seed, "[ -~ä]{0,8}", slot(), slot(), any::<bool>(), any::<bool>(), mode);
    let node = node.prop_map(|(mixed, seed, text, a, b, muted_link, saved, mode)| Drawn {
        mixed,
        seed,
        // What dynamic prompts would choose from is another test's.
        text: text.replace(['%', '\\'], ""),
        from: [a, b],
        muted_link,
        saved,
        mode,
    });
    prop::collection::vec(node, 1..12)
}

/// The editor's form of a drawn graph; nodes are numbered from 1, those that save from 101.
fn ui(drawn: &[Drawn]) -> Value {
    let (mut nodes, mut links) = (Vec::new(), Vec::new());
    let mut link = |from: usize, slot: usize, to: usize, to_slot: usize| {
        links.push(json!([links.len() + 1, from + 1, slot, to, to_slot, "INT"]));
        links.len()
    };
    for (at, node) in drawn.iter().enumerate() {
        // The first can only be a source.
        let mixed = node.mixed && at > 0;
        let mut inputs = Vec::new();
        if mixed {
            for (number, (from, slot)) in node.from.iter().enumerate() {
                let from = from % at;
                let slot = if drawn[from].mixed && from > 0 { 0 } else { *slot };
                let id = (number == 0 || !node.muted_link).then(|| link(from, slot, at + 1, number));
                inputs.push(json!({"name": (["a", "b"][number]), "type": "INT", "link": id}));
            }
        }
        let values = if mixed { json!([node.seed % 1000]) } else { json!([node.seed, "fixed", 0.5, node.text]) };
        // A source that is bypassed gives nothing, which would make what follows wrong.
        let mode = if mixed { node.mode } else { 0 };
        nodes.push(
            json!({"id": at + 1, "type": if mixed { "ToyMix" } else { "ToySource" }, "mode": mode, "inputs": inputs,
            "outputs": [], "widgets_values": values}),
        );
        if node.saved || at + 1 == drawn.len() {
            let id = link(at, 0, 101 + at, 0);
            nodes.push(json!({"id": 101 + at, "type": "ToySave", "mode": 0, "widgets_values": [node.text],
                "inputs": [{"name": "value", "type": "INT", "link": id}], "title": "Save"}));
        }
    }
    for link in &links {
        let origin = nodes.iter_mut().find(|node| node["id"] == link[1]).unwrap();
        let (slot, id) = (link[2].as_u64().unwrap() as usize, link[0].clone());
        let outputs = origin["outputs"].as_array_mut().unwrap();
        while outputs.len() <= slot {
            outputs.push(json!({"type": "INT", "links": []}));
        }
        outputs[slot]["links"].as_array_mut().unwrap().push(id);
    }
    json!({"version": 0.4, "nodes": nodes, "links": links})
}

/// Another number or text for each node and each link, in the root of a file in the editor's form.
fn renamed_ui(file: &Value, words: bool) -> Value {
    let mut file = file.clone();
    let name = |id: &Value| match id.as_i64() {
        Some(number) if words => json!(format!("n{}", number * 7)),
        Some(number) => json!(5000 - number),
        None => id.clone(),
    };
    let link_name = |id: &Value| id.as_i64().map_or(id.clone(), |number| json!(90_000 - number));
    for node in file["nodes"].as_array_mut().unwrap() {
        node["id"] = name(&node["id"]);
        for input in node["inputs"].as_array_mut().into_iter().flatten() {
            input["link"] = link_name(&input["link"]);
        }
        for output in node["outputs"].as_array_mut().into_iter().flatten() {
            for link in output["links"].as_array_mut().into_iter().flatten() {
                *link = link_name(link);
            }
        }
    }
    for link in file["links"].as_array_mut().unwrap() {
        let [id, from, to] = if link.is_array() {
            [json!(0), json!(1), json!(3)]
        } else {
            ["id", "origin_id", "target_id"].map(|n| json!(n))
        };
        let mut change = |part: &Value, name: &dyn Fn(&Value) -> Value| {
            let place = match part.as_u64() {
                Some(at) => link.get_mut(at as usize),
                None => link.get_mut(part.as_str().unwrap()),
            };
            if let Some(place) = place {
                *place = name(place);
            }
        };
        change(&id, &link_name);
        change(&from, &name);
        change(&to, &name);
    }
    file
}

/// A list in another order that depends on `seed` alone.
fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    let mut state = seed | 1;
    for at in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(at, (state >> 33) as usize % (at + 1));
    }
    items
}

fn reordered_ui(file: &Value, seed: u64) -> Value {
    let mut file = file.clone();
    for list in ["nodes", "links"] {
        let items = file[list].as_array().unwrap().clone();
        file[list] = Value::Array(shuffled(items, seed));
    }
    file
}

/// The same prompt with other ids, its nodes and inputs in another order.
fn changed_api(prompt: &Prompt, seed: u64) -> Prompt {
    let names: HashMap<&NodeId, NodeId> =
        prompt.nodes.keys().enumerate().map(|(at, id)| (id, NodeId::from(format!("x{}:{at}", seed % 10)))).collect();
    let nodes = prompt.nodes.iter().map(|(id, node)| {
        let mut node = node.clone();
        let inputs = node.inputs.into_iter().map(|(name, given)| match given {
            Given::Link { node, slot } => (name, Given::Link { node: names.get(&node).cloned().unwrap_or(node), slot }),
            constant => (name, constant),
        });
        node.inputs = shuffled(inputs.collect(), seed).into_iter().collect();
        node.title = Some("another".to_owned());
        (names[id].clone(), node)
    });
    Prompt { nodes: shuffled(nodes.collect(), seed).into_iter().collect() }
}

fn picture(prompt: &Value, workflow: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    for (keyword, json) in [("prompt", prompt), ("workflow", workflow)] {
        // As Python writes it: all but ASCII is escaped.
        let json = json.to_string();
        let text = json.encode_utf16().map(|unit| match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
            _ => format!("\\u{unit:04x}"),
        });
        let text = text.collect::<String>();
        encoder.add_text_chunk(keyword.into(), text).unwrap();
    }
    encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn drawn_graphs_keep_their_plan(drawn in graphs(), seed in any::<u64>(), words in any::<bool>()) {
        let registry = Registry::linked().unwrap();
        let context = context(&registry);
        let file = ui(&drawn);
        let workflow = read_value(&file, &context).unwrap();
        let expected = plan_keys(&workflow.prompt, &registry);
        for changed in [renamed_ui(&file, words), reordered_ui(&file, seed), reordered_ui(&renamed_ui(&file, words), seed)] {
            let prompt = read_value(&changed, &context).unwrap().prompt;
            prop_assert_eq!(&plan_keys(&prompt, &registry), &expected, "{}", changed);
        }
        let again = read(workflow.prompt.to_json().to_string().as_bytes(), &context).unwrap().prompt;
        prop_assert_eq!(&again, &workflow.prompt);
        prop_assert_eq!(&plan_keys(&changed_api(&again, seed), &registry), &expected);
        let read = read(&picture(&workflow.prompt_json, workflow.workflow_json.as_ref().unwrap()), &context).unwrap();
        prop_assert_eq!(&read.prompt, &workflow.prompt);
        prop_assert_eq!(read.workflow_json, workflow.workflow_json);
        prop_assert_eq!(&plan_keys(&read.prompt, &registry), &expected);
    }

    /// The keys do tell graphs apart.
    #[test]
    fn another_value_is_another_plan(drawn in graphs()) {
        let registry = Registry::linked().unwrap();
        let keys = |drawn: &[Drawn]| plan_keys(&read_value(&ui(drawn), &context(&registry)).unwrap().prompt, &registry).1;
        let mut changed = drawn.clone();
        changed.last_mut().unwrap().text.push('!');
        prop_assert_ne!(keys(&drawn), keys(&changed));
    }
}

/// What each node computes, as text: its class, its constants, and the same of what feeds it. Foreign classes have no
/// keys; this says the same of them.
fn identities(prompt: &Prompt) -> Vec<String> {
    fn of<'p>(prompt: &'p Prompt, id: &'p NodeId, known: &mut HashMap<&'p NodeId, String>, depth: usize) -> String {
        if let Some(known) = known.get(id) {
            return known.clone();
        }
        let Some((id, node)) = prompt.nodes.get_key_value(id).filter(|_| depth < 500) else { return "?".to_owned() };
        let mut inputs: Vec<String> = Vec::new();
        for (name, given) in &node.inputs {
            inputs.push(match given {
                Given::Link { node, slot } => format!("{name}<-{slot} {}", of(prompt, node, known, depth + 1)),
                Given::Constant(value) | Given::Malformed(value) => format!("{name}={value}"),
            });
        }
        inputs.sort();
        let text = blake3::hash(format!("{} {inputs:?}", node.class_type).as_bytes()).to_hex().to_string();
        known.insert(id, text.clone());
        text
    }
    let mut known = HashMap::new();
    let mut all: Vec<_> = prompt.nodes.keys().map(|id| of(prompt, id, &mut known, 0)).collect();
    all.sort();
    all
}

/// Whether ids mean more in this file than who is who: they are named in properties and group nodes, and of several
/// instances of one subgraph the last decides.
fn ids_are_only_names(file: &Value) -> bool {
    let definitions =
        file.pointer("/definitions/subgraphs").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
    let groups =
        file.pointer("/extra/groupNodes").and_then(Value::as_object).is_some_and(|all: &Map<_, _>| !all.is_empty());
    !definitions && !groups
}

#[test]
#[cfg_attr(not(shared), ignore = "needs ../shared")]
fn real_files_keep_what_they_compute() {
    let shared = Path::new(env!("REDRAFT_SHARED_AT"));
    let info = std::fs::read(shared.join("reference/object_info-0.8.0.json")).unwrap();
    let schemas = ObjectInfo::from_json(&parse_json(&info).unwrap().0);
    let context = context(&schemas);
    let mut compared = 0;
    for group in ["documentation", "edge", "examples", "pictures", "templates"] {
        let files =
            std::fs::read_dir(shared.join("conversions").join(group)).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|file| file.to_str().unwrap().ends_with(".workflow.json")).collect();
        files.sort();
        for path in files {
            let file = parse_json(&std::fs::read(&path).unwrap()).unwrap().0;
            let Ok(workflow) = read_value(&file, &context) else { continue };
            let expected = identities(&workflow.prompt);
            let again = read(workflow.prompt.to_json().to_string().as_bytes(), &context);
            if !workflow.prompt.nodes.is_empty() {
                assert_eq!(again.unwrap().prompt, workflow.prompt, "{}", path.display());
            }
            assert_eq!(identities(&changed_api(&workflow.prompt, 3)), expected, "{}", path.display());
            let in_picture = read(&picture(&workflow.prompt_json, &file), &context);
            assert!(
                workflow.prompt.nodes.is_empty() || in_picture.unwrap().prompt == workflow.prompt,
                "{}",
                path.display()
            );
            if ids_are_only_names(&file) {
                for changed in [renamed_ui(&file, false), renamed_ui(&file, true), reordered_ui(&file, 5)] {
                    let prompt = read_value(&changed, &context).unwrap().prompt;
                    assert_eq!(identities(&prompt), expected, "{}", path.display());
                }
                compared += 1;
            }
        }
    }
    eprintln!("{compared} files renamed and reordered");
    assert!(compared > 150, "{compared}");
}
