use redraft_engine::Node;
use redraft_engine::constant::{repr, text};
use redraft_engine::cx::Cx;
use redraft_engine::io::{Value, Wildcard};
use redraft_engine::node::Run;
use serde_json::{Value as Json, json};

/// Shows any value as text.
#[derive(Node)]
#[node(category = "utils", display = "Preview as Text", output)]
struct PreviewAny {
    source: Wildcard,
}

impl Run for PreviewAny {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        cx.ui("text", shown(&self.source.0));
        Ok(())
    }
}

/// Texts as they are, numbers as Python writes them, structures as JSON. Of other values the type is shown.
fn shown(value: &Value) -> String {
    let number = || value.downcast::<i128>().map(ToString::to_string);
    let float = || value.downcast::<f64>().map(|v| repr(&json!(v)));
    let flag = || value.downcast::<bool>().map(|v| repr(&json!(v)));
    let constant = || {
        let constant = value.downcast::<Json>()?;
        match constant {
            Json::Array(_) | Json::Object(_) => serde_json::to_string_pretty(constant).ok(),
            plain => Some(text(plain)),
        }
    };
    let own = value.downcast::<String>().cloned();
    let simple = own.or_else(number).or_else(float).or_else(flag).or_else(constant);
    simple.unwrap_or_else(|| value.type_name().to_owned())
}
