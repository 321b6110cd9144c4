//! Values that several nodes share, and texts put together.

use redraft_engine::cx::Cx;
use redraft_engine::memory::ask_text;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};
use redraft_nodes::python::text::is_space;

/// The largest number that the constants take, 2⁶⁴ - 1.
const LARGEST: i128 = u64::MAX as i128;

/// A whole number.
#[derive(Node)]
#[node(class = "INTConstant", category = "KJNodes/constants", display = "INT Constant")]
struct IntConstant {
    #[input(default = 0, min = -LARGEST, max = LARGEST)]
    value: i128,
}

#[derive(Outputs)]
struct Int {
    #[output(name = "value")]
    value: i128,
}

impl Run for IntConstant {
    type Out = Int;

    fn run(self, _: &mut Cx) -> anyhow::Result<Int> {
        Ok(Int { value: self.value })
    }
}

/// A number, rounded to six decimal places.
#[derive(Node)]
#[node(category = "KJNodes/constants", display = "Float Constant")]
struct FloatConstant {
    #[input(default = 0.0, min = -LARGEST, max = LARGEST, step = 0.00001)]
    value: f64,
}

#[derive(Outputs)]
struct Float {
    #[output(name = "value")]
    value: f64,
}

impl Run for FloatConstant {
    type Out = Float;

    fn run(self, _: &mut Cx) -> anyhow::Result<Float> {
        // As decimal digits, which is how Python's `round` decides.
        Ok(Float { value: format!("{:.6}", self.value).parse().unwrap_or(self.value) })
    }
}

/// A text of one line.
#[derive(Node)]
#[node(category = "KJNodes/constants", display = "String Constant")]
struct StringConstant {
    string: String,
}

impl Run for StringConstant {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        Ok(self.string)
    }
}

/// A text of several lines, which may be joined to one.
#[derive(Node)]
#[node(category = "KJNodes/constants", display = "String Constant Multiline")]
struct StringConstantMultiline {
    #[input(multiline)]
    string: String,
    #[input(default = true)]
    strip_newlines: bool,
}

impl Run for StringConstantMultiline {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        Ok(match self.strip_newlines {
            true => self.string.replace('\n', "").trim_matches(is_space).to_owned(),
            false => self.string,
        })
    }
}

/// Joins two texts.
#[derive(Node)]
#[node(category = "KJNodes/text", display = "Join Strings")]
struct JoinStrings {
    /// What stands between them.
    #[input(default = " ")]
    delimiter: String,
    #[input(force_input)]
    string1: Option<String>,
    #[input(force_input)]
    string2: Option<String>,
}

impl Run for JoinStrings {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        let (one, two) = (self.string1.unwrap_or_default(), self.string2.unwrap_or_default());
        ask_text(one.len().saturating_add(self.delimiter.len()).saturating_add(two.len()))?;
        Ok(one + &self.delimiter + &two)
    }
}
