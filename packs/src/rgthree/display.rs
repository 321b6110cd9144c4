use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::constant::repr;
use redraft_engine::cx::Cx;
use redraft_engine::io::{Value, Wildcard};
use redraft_engine::node::Run;
use serde_json::Value as Json;

/// Shows any value as text.
#[derive(Node)]
#[node(
    class = "Display Any (rgthree)",
    category = "rgthree",
    display = "Display Any (rgthree)",
    output,
    hidden("unique_id", "extra_pnginfo")
)]
struct DisplayAny {
    source: Wildcard,
}

impl Run for DisplayAny {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        cx.ui("text", shown(&self.source.0));
        Ok(())
    }
}

/// Shows a whole number.
#[derive(Node)]
#[node(class = "Display Int (rgthree)", category = "rgthree", display = "Display Int (rgthree)", output)]
struct DisplayInt {
    #[input(force_input)]
    input: i64,
}

impl Run for DisplayInt {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        cx.ui("text", self.input.to_string());
        Ok(())
    }
}

/// Texts as they are, numbers as Python writes them, structures as JSON; of other values what they are.
fn shown(value: &Value) -> String {
    match value.shown() {
        Json::String(text) => text,
        structure @ (Json::Array(_) | Json::Object(_)) => structure.to_string(),
        plain => repr(&plain),
    }
}
