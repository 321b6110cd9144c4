//! Nodes whose inputs depend on what they are given: sockets that grow, choices that bring inputs.
#![allow(clippy::unwrap_used)]

use redraft_engine::cx::{Cancel, Cx, Metadata, Services};
use redraft_engine::dynamic::Grow;
use redraft_engine::event::{Event, Observer};
use redraft_engine::exec::{Engine, Outcome};
use redraft_engine::folders::FolderPaths;
use redraft_engine::io::{List, Socket};
use redraft_engine::node::{Registry, Run};
use redraft_engine::plan::Plan;
use redraft_engine::prompt::{Given, NodeId, Prompt, PromptNode, Targets};
use redraft_engine::schema::Schemas;
use redraft_engine::{Choices, Node};
use serde_json::{Value as Json, json};

/// Writes numbers one behind the other.
#[derive(Node)]
#[node(category = "toy")]
struct ToyJoin {
    #[input(prefix = "number", min = 2, max = 12)]
    numbers: Grow<i64>,
}

impl Run for ToyJoin {
    type Out = String;
    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        Ok(self.numbers.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }
}

#[derive(Choices)]
enum Size {
    #[choice(name = "by factor")]
    Factor {
        /// How many times as large.
        #[input(default = 2.0, min = 0.5, max = 8.0)]
        factor: f64,
    },
    Sides {
        #[input(default = 3, min = 0)]
        width: i64,
        height: Option<i64>,
    },
    Same,
}

#[derive(Node)]
#[node(category = "toy")]
struct ToySize {
    size: Size,
    /// Declared after the choice's own.
    text: String,
}

impl Run for ToySize {
    type Out = String;
    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        let size = match self.size {
            Size::Factor { factor } => format!("x{factor}"),
            Size::Sides { width, height } => format!("{width} {height:?}"),
            Size::Same => "same".to_owned(),
        };
        Ok(format!("{size} {}", self.text))
    }
}

#[derive(Node)]
#[node(category = "toy")]
struct ToyNumbers {
    count: i64,
}

impl Run for ToyNumbers {
    type Out = List<i64>;
    fn run(self, _: &mut Cx) -> anyhow::Result<List<i64>> {
        Ok(List((1..=self.count).collect()))
    }
}

#[derive(Default)]
struct Texts(Vec<Vec<String>>);

impl Observer for Texts {
    fn event(&mut self, _: Event) {}
    fn outputs(&mut self, node: &NodeId, outputs: &[Socket]) {
        if node.as_str() == "end" {
            let texts = outputs.iter().map(|socket| socket.iter().map(|v| v.downcast().cloned().unwrap()).collect());
            self.0.extend(texts);
        }
    }
}

fn prompt(nodes: Json) -> Prompt {
    let nodes = nodes.as_object().unwrap().iter().map(|(id, node)| {
        let inputs = node.as_object().unwrap().iter().filter(|(name, _)| *name != "class").map(|(name, value)| {
            let given = match value.as_array() {
                Some(link) => Given::link(link[0].as_str().unwrap(), link[1].as_u64().unwrap() as usize),
                None => Given::Constant(value.clone()),
            };
            (name.clone(), given)
        });
        let class_type = node["class"].as_str().unwrap().to_owned();
        (NodeId::from(id.as_str()), PromptNode { class_type, inputs: inputs.collect(), title: None })
    });
    Prompt { nodes: nodes.collect() }
}

fn run(nodes: Json) -> Result<Vec<String>, String> {
    let registry = Registry::linked().unwrap();
    let mut engine = Engine::new(FolderPaths::below("nowhere".as_ref()), Services::default());
    let plan = Plan::new(prompt(nodes), &registry, &engine.folders, &Targets::All, "").map_err(|e| e.to_string())?;
    let mut texts = Texts::default();
    match engine.run(&plan, &Metadata::default(), &mut texts, &Cancel::default()) {
        Outcome::Done => Ok(texts.0.swap_remove(0)),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn grown_sockets_come_in_the_order_of_their_numbers() {
    let joined = run(json!({
        "end": {"class": "ToyJoin", "numbers.number10": 10, "numbers.number2": ["list", 0], "numbers.number0": 5},
        "list": {"class": "ToyNumbers", "count": 3}
    }));
    // A list calls the node once for each of its values, as with any other input.
    assert_eq!(joined.unwrap(), ["5 1 10", "5 2 10", "5 3 10"]);
}

#[test]
fn a_choice_takes_its_own_inputs() {
    let size = |inputs: Json| {
        let mut node = inputs;
        node["class"] = json!("ToySize");
        node["text"] = json!("t");
        run(json!({ "end": node }))
    };
    assert_eq!(size(json!({"size": "by factor", "size.factor": 3})).unwrap(), ["x3 t"]);
    assert_eq!(size(json!({"size": "sides", "size.width": 4})).unwrap(), ["4 None t"]);
    assert_eq!(size(json!({"size": "sides", "size.width": 4, "size.height": 6})).unwrap(), ["4 Some(6) t"]);
    assert_eq!(size(json!({"size": "same", "size.width": "left over"})).unwrap(), ["same t"]);
    for (inputs, message) in [
        (json!({"size": "by factor"}), "input 'size.factor': is missing"),
        (json!({"size": "by factor", "size.factor": 9}), "is 9.0, bigger than the greatest allowed value 8"),
        (json!({"size": "sidez"}), "did you mean 'sides'?"),
        (json!({}), "input 'size': is missing"),
    ] {
        let error = size(inputs).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn other_inputs_of_a_choice_give_another_result() {
    let mut engine = Engine::new(FolderPaths::below("nowhere".as_ref()), Services::default());
    let registry = Registry::linked().unwrap();
    let mut results = Vec::new();
    for factor in [2, 3, 2] {
        let nodes = json!({"end": {"class": "ToySize", "size": "by factor", "size.factor": factor, "text": ""}});
        let plan = Plan::new(prompt(nodes), &registry, &engine.folders, &Targets::All, "").unwrap();
        let mut texts = Texts::default();
        engine.run(&plan, &Metadata::default(), &mut texts, &Cancel::default());
        results.push(texts.0.concat().concat());
    }
    assert_eq!(results, ["x2 ", "x3 ", "x2 "]);
}

#[test]
fn they_are_declared_as_comfyui_declares_them() {
    let registry = Registry::linked().unwrap();
    let of = |class: &str, name: &str| {
        registry.schema(class).unwrap().to_object_info(&())["input"]["required"][name].clone()
    };
    let number = json!(["INT", {"default": 0}]);
    assert_eq!(
        of("ToyJoin", "numbers"),
        json!(["COMFY_AUTOGROW_V3",
            {"template": {"input": {"required": {"number": number}}, "prefix": "number", "min": 2, "max": 12}}])
    );
    let size = of("ToySize", "size");
    assert_eq!(size[0], "COMFY_DYNAMICCOMBO_V3");
    let options = size[1]["options"].as_array().unwrap();
    assert_eq!(options.iter().map(|o| o["key"].as_str().unwrap()).collect::<Vec<_>>(), ["by factor", "sides", "same"]);
    let factor = json!(["FLOAT", {"default": 2.0, "min": 0.5, "max": 8.0, "tooltip": "How many times as large."}]);
    assert_eq!(options[0]["inputs"]["required"]["factor"], factor);
    assert_eq!(options[1]["inputs"]["optional"]["height"][0], "INT");
}
