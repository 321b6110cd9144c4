//! Comparisons and logic.

use redraft_engine::cx::Cx;
use redraft_engine::io::Wildcard;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::types::truth;

/// The largest whole number that the editor's widgets take here, either way.
const MOST: i128 = 0xffff_ffff_ffff_ffff;

#[derive(Combo)]
enum Comparison {
    #[combo(name = "==")]
    Equal,
    #[combo(name = "!=")]
    NotEqual,
    #[combo(name = "<")]
    Less,
    #[combo(name = ">")]
    Greater,
    #[combo(name = "<=")]
    AtMost,
    #[combo(name = ">=")]
    AtLeast,
}

impl Comparison {
    fn holds<T: PartialOrd>(&self, a: &T, b: &T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::Less => a < b,
            Self::Greater => a > b,
            Self::AtMost => a <= b,
            Self::AtLeast => a >= b,
        }
    }
}

/// Compares whole numbers.
#[derive(Node)]
#[node(category = "Testing/Logic", display = "Int Condition")]
struct TestIntConditions {
    #[input(default = 0, min = -MOST, max = MOST)]
    a: i128,
    #[input(default = 0, min = -MOST, max = MOST)]
    b: i128,
    operation: Comparison,
}

impl Run for TestIntConditions {
    type Out = bool;

    fn run(self, _: &mut Cx) -> anyhow::Result<bool> {
        Ok(self.operation.holds(&self.a, &self.b))
    }
}

/// Compares numbers.
#[derive(Node)]
#[node(category = "Testing/Logic", display = "Float Condition")]
struct TestFloatConditions {
    #[input(default = 0, min = -999_999_999_999.0, max = 999_999_999_999.0, step = 1)]
    a: f64,
    #[input(default = 0, min = -999_999_999_999.0, max = 999_999_999_999.0, step = 1)]
    b: f64,
    operation: Comparison,
}

impl Run for TestFloatConditions {
    type Out = bool;

    fn run(self, _: &mut Cx) -> anyhow::Result<bool> {
        Ok(self.operation.holds(&self.a, &self.b))
    }
}

#[derive(Combo)]
enum Texts {
    #[combo(name = "a == b")]
    Equal,
    #[combo(name = "a != b")]
    NotEqual,
    #[combo(name = "a IN b")]
    In,
    #[combo(name = "a MATCH REGEX(b)")]
    Matches,
    #[combo(name = "a BEGINSWITH b")]
    Begins,
    #[combo(name = "a ENDSWITH b")]
    Ends,
}

/// Compares texts.
#[derive(Node)]
#[node(category = "Testing/Logic", display = "String Condition")]
struct TestStringConditions {
    a: String,
    b: String,
    operation: Texts,
    #[input(default = true)]
    case_sensitive: bool,
}

impl Run for TestStringConditions {
    type Out = bool;

    fn run(self, _: &mut Cx) -> anyhow::Result<bool> {
        let folded = |text: String| if self.case_sensitive { text } else { text.to_lowercase() };
        let (a, b) = (folded(self.a), folded(self.b));
        Ok(match self.operation {
            Texts::Equal => a == b,
            Texts::NotEqual => a != b,
            Texts::In => b.contains(&a),
            // At the beginning, as Python's `re.match`; a pattern that is none matches nothing.
            Texts::Matches => {
                fancy_regex::Regex::new(&format!("^(?:{b})")).is_ok_and(|r| r.is_match(&a).unwrap_or(false))
            }
            Texts::Begins => a.starts_with(&b),
            Texts::Ends => a.ends_with(&b),
        })
    }
}

/// Whether a value is true in Python's sense.
#[derive(Node)]
#[node(category = "Testing/Logic", display = "To Bool")]
struct TestToBoolNode {
    value: Wildcard,
    #[input(default = false)]
    invert: Option<bool>,
}

impl Run for TestToBoolNode {
    type Out = bool;

    fn run(self, _: &mut Cx) -> anyhow::Result<bool> {
        Ok(truth(&self.value.0) != self.invert.unwrap_or(false))
    }
}

#[derive(Combo)]
enum Logic {
    #[combo(name = "a AND b")]
    And,
    #[combo(name = "a OR b")]
    Or,
    #[combo(name = "a XOR b")]
    Xor,
    #[combo(name = "NOT a")]
    Not,
}

/// Combines two flags.
#[derive(Node)]
#[node(category = "Testing/Logic", display = "Bool Operation")]
struct TestBoolOperationNode {
    a: bool,
    b: bool,
    op: Logic,
}

impl Run for TestBoolOperationNode {
    type Out = bool;

    fn run(self, _: &mut Cx) -> anyhow::Result<bool> {
        Ok(match self.op {
            Logic::And => self.a && self.b,
            Logic::Or => self.a || self.b,
            Logic::Xor => self.a != self.b,
            Logic::Not => !self.a,
        })
    }
}

#[derive(Combo)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

/// Calculates with whole numbers, as Python does: division and remainder round down.
#[derive(Node)]
#[node(category = "Testing/Logic", display = "Int Math Operation")]
struct TestIntMathOperation {
    #[input(default = 0, min = -MOST, max = MOST)]
    a: i128,
    #[input(default = 0, min = -MOST, max = MOST)]
    b: i128,
    operation: Arithmetic,
}

impl Run for TestIntMathOperation {
    type Out = i128;

    fn run(self, _: &mut Cx) -> anyhow::Result<i128> {
        let (a, b) = (self.a, self.b);
        let down =
            |a: i128, b: i128| Some(a.checked_div(b)? - i128::from(a.checked_rem(b)? != 0 && (a < 0) != (b < 0)));
        let result = match self.operation {
            Arithmetic::Add => a.checked_add(b),
            Arithmetic::Subtract => a.checked_sub(b),
            Arithmetic::Multiply => a.checked_mul(b),
            Arithmetic::Divide => down(a, b),
            Arithmetic::Modulo => down(a, b).map(|whole| a - whole * b),
            Arithmetic::Power => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        };
        result.ok_or_else(|| anyhow::anyhow!("{a} and {b} give no whole number here; use other values"))
    }
}
