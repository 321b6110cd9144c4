use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::{CONSTANT, Emit, Field, Misfit, Rest, Socket, Value, Widget, Wildcard};
use redraft_engine::node::Run;
use redraft_engine::schema::{ANY, Kind};
use redraft_nodes::python::expression::Number;
use redraft_nodes::python::json::dumps_indented;
use serde_json::{Value as Json, json};

use super::value::Thing;

/// Computes what a small program in the manner of Python gives. `a` to `z` are the inputs that are connected; the value is that of
/// `return`, or of the last line. It knows names, numbers, texts, lists, conditions, `shape` of pictures and masks, and the usual functions
/// of numbers and texts.
#[derive(Node)]
#[node(class = "Power Puter (rgthree)", category = "rgthree", display = "Power Puter (rgthree)")]
struct PowerPuter {
    /// The type that the value becomes, `{"outputs": ["STRING"]}`.
    outputs: Wanted,
    #[input(multiline)]
    code: String,
    #[input(rest)]
    given: Rest<Wildcard>,
}

/// The types of the outputs.
struct Wanted(Vec<String>);

impl Field for Wanted {
    fn kind(_: Widget) -> Kind {
        Kind::Widget { ty: "RGTHREE_OUTPUTS".to_owned(), default: Some(json!({ "outputs": ["STRING"] })) }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        let json = value.downcast::<Json>().cloned();
        let json = json.or_else(|| value.downcast::<String>().map(|text| json!(text))).unwrap_or_default();
        let listed = json["outputs"].as_array().cloned().unwrap_or_else(|| vec![json.clone()]);
        let types: Option<Vec<_>> = listed.iter().map(|ty| ty.as_str().map(str::to_owned)).collect();
        let wanted = || Misfit::Value("names no types; write {\"outputs\": [\"STRING\"]}".to_owned());
        types.filter(|types| !types.is_empty()).ok_or_else(wanted).map(Self)
    }
}

/// The value under its own type.
struct Made(Value);

impl Emit for Made {
    const TYPE: &'static str = ANY;

    fn into_socket(self) -> Socket {
        Rc::new([self.0])
    }
}

#[derive(redraft_engine::Outputs)]
struct Out {
    #[output(name = "*")]
    value: Made,
}

impl Run for PowerPuter {
    type Out = Out;

    fn run(self, _: &mut Cx) -> Result<Out> {
        let [wanted] = self.outputs.0.as_slice() else {
            anyhow::bail!(
                "input 'outputs' names {} types, and one is given here: use a node for each",
                self.outputs.0.len()
            )
        };
        let given = self.given.0.into_iter().map(|(name, value)| (name, Thing::of(&value.0))).collect();
        let value = super::run(&self.code, given).context("the code")?;
        Ok(Out { value: Made(cast(value, wanted)?) })
    }
}

/// A value as an output's type has it.
fn cast(value: Thing, wanted: &str) -> Result<Value> {
    if matches!(value, Thing::Nothing) {
        return Ok(Value::nothing());
    }
    let number = |function: &str| super::value::call(function, std::slice::from_ref(&value))?.number();
    Ok(match (wanted, &value) {
        ("INT", _) => Value::new("INT", number("int")?.truncated().context("the value is too large for an INT")?),
        ("FLOAT", _) => Value::new("FLOAT", number("float")?.as_float()),
        ("BOOLEAN" | "BOOL", _) => Value::new("BOOLEAN", value.truth()),
        ("STRING", Thing::List(_)) => Value::new("STRING", dumps_indented(&value.json(), 2)),
        ("STRING", _) => Value::new("STRING", value.text()),
        (_, Thing::Other(value)) => value.clone(),
        (_, Thing::Text(text)) => Value::new("STRING", text.clone()),
        (_, Thing::Number(Number::Bool(flag))) => Value::new("BOOLEAN", *flag),
        (_, Thing::Number(Number::Float(float))) => Value::new("FLOAT", *float),
        (_, Thing::Number(number)) => {
            Value::new("INT", number.truncated().context("the value is too large for an INT")?)
        }
        _ => {
            let plain = value.json();
            ensure!(wanted == ANY, "the value is {plain}, which is no {wanted}; set the output's type to *");
            Value::new(CONSTANT, plain)
        }
    })
}
