use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::{Field, Misfit, Value, Widget};
use redraft_engine::node::Run;
use redraft_engine::schema::Kind;
use serde_json::Value as Json;

/// Passes on a choice from a list that the workflow's author wrote.
#[derive(Node)]
#[node(class = "CustomCombo", category = "utils", display = "Custom Combo", experimental)]
struct CustomCombo {
    choice: AnyChoice,
}

/// A choice of a combo whose list is known to the editor only.
struct AnyChoice(String);

impl Field for AnyChoice {
    fn kind(_: Widget) -> Kind {
        Kind::Widget { ty: "COMBO".to_owned(), default: None }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        let constant = value.downcast::<Json>().and_then(Json::as_str).map(str::to_owned);
        constant.map_or_else(|| String::from_value(value), Ok).map(Self)
    }
}

impl Run for CustomCombo {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        Ok(self.choice.0)
    }
}
