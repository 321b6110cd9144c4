//! Nodes that give a value, which can be connected to several inputs.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

/// A text of one line.
#[derive(Node)]
#[node(category = "utils/primitive", display = "String")]
struct PrimitiveString {
    value: String,
}

impl Run for PrimitiveString {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        Ok(self.value)
    }
}

/// A text of several lines.
#[derive(Node)]
#[node(category = "utils/primitive", display = "String (Multiline)")]
struct PrimitiveStringMultiline {
    #[input(multiline)]
    value: String,
}

impl Run for PrimitiveStringMultiline {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        Ok(self.value)
    }
}

/// A whole number.
#[derive(Node)]
#[node(category = "utils/primitive", display = "Int")]
struct PrimitiveInt {
    #[input(min = -i64::MAX, max = i64::MAX, control_after_generate)]
    value: i64,
}

impl Run for PrimitiveInt {
    type Out = i64;

    fn run(self, _: &mut Cx) -> anyhow::Result<i64> {
        Ok(self.value)
    }
}

/// A number.
#[derive(Node)]
#[node(category = "utils/primitive", display = "Float")]
struct PrimitiveFloat {
    #[input(min = -i64::MAX, max = i64::MAX, step = 0.1)]
    value: f64,
}

impl Run for PrimitiveFloat {
    type Out = f64;

    fn run(self, _: &mut Cx) -> anyhow::Result<f64> {
        Ok(self.value)
    }
}

/// True or false.
#[derive(Node)]
#[node(category = "utils/primitive", display = "Boolean")]
struct PrimitiveBoolean {
    value: bool,
}

impl Run for PrimitiveBoolean {
    type Out = bool;

    fn run(self, _: &mut Cx) -> anyhow::Result<bool> {
        Ok(self.value)
    }
}
