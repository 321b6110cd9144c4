use anyhow::Context;
use redraft_engine::cx::Cx;
use redraft_engine::io::{Field, Misfit, Value, Widget};
use redraft_engine::node::Run;
use redraft_engine::schema::Kind;
use redraft_engine::{Node, Outputs};

use super::lettered::Lettered;
use crate::python::expression::{Number, Term, evaluate};

/// Computes what an expression gives for the numbers `a` to `z` that are connected, by Python's rules: `a * 2 + b`, `a // 8 * 8`,
/// `max(a, b) if c else round(a / 3, 2)`. All of them together are the list `values`. The functions are sum, min, max, abs, round, pow,
/// sqrt, ceil, floor, log, log2, log10, sin, cos, tan, int and float.
#[derive(Node)]
#[node(class = "ComfyMathExpression", category = "utilities", display = "Math Expression")]
struct MathExpression {
    #[input(default = "a + b", multiline)]
    expression: String,
    #[input(min = 1)]
    values: Lettered<AnyNumber>,
}

/// The value as a float, as a whole number (what stands behind the point is left out), and whether it is not zero.
#[derive(Outputs)]
struct Computed {
    #[output(name = "FLOAT")]
    float: f64,
    #[output(name = "INT")]
    int: i128,
    #[output(name = "BOOL")]
    truth: bool,
}

impl Run for MathExpression {
    type Out = Computed;

    fn run(self, _: &mut Cx) -> anyhow::Result<Computed> {
        let values = Term::List(self.values.0.values().map(|number| number.0.clone()).collect());
        let letters = self.values.0.into_iter().map(|(letter, number)| (letter, Term::Number(number.0)));
        let names = letters.chain([("values".to_owned(), values)]).collect();
        let shown = || format!("the expression '{}'", shortened(self.expression.trim()));
        let value = evaluate(&self.expression, &names).with_context(shown)?;
        let float = value.as_float();
        anyhow::ensure!(float.is_finite(), "{} gives {float}, which is no number; change it", shown());
        let int =
            value.truncated().with_context(|| format!("{} gives more than 128 bits; make it smaller", shown()))?;
        Ok(Computed { float, int, truth: value.truth() })
    }
}

/// The begin of a text, for a message.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A whole number, a float or a truth.
struct AnyNumber(Number);

impl Field for AnyNumber {
    fn kind(_: Widget) -> Kind {
        Kind::Socket("FLOAT,INT,BOOLEAN".to_owned())
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        let int = value.downcast::<i128>().map(|int| Number::whole(*int));
        let float = || value.downcast::<f64>().map(|float| Number::Float(*float));
        let flag = || value.downcast::<bool>().map(|flag| Number::Bool(*flag));
        let wanted =
            || Misfit::Type { wanted: "FLOAT, INT or BOOLEAN".to_owned(), found: value.type_name().to_owned() };
        int.or_else(float).or_else(flag).map(Self).ok_or_else(wanted)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn run(expression: &str, values: &[(&str, Number)]) -> anyhow::Result<Computed> {
        let values = values.iter().map(|(letter, number)| ((*letter).to_owned(), AnyNumber(number.clone()))).collect();
        Cx::for_test().run(MathExpression { expression: expression.to_owned(), values: Lettered(values) })
    }

    #[test]
    fn the_value_comes_as_float_as_int_and_as_truth() {
        let given = [("a", Number::whole(7)), ("c", Number::Float(0.5))];
        let found = run(" a * c\n", &given).unwrap();
        assert_eq!((found.float, found.int, found.truth), (3.5, 3, true));
        let found = run("a > 8", &given).unwrap();
        assert_eq!((found.float, found.int, found.truth), (0.0, 0, false));
    }

    #[test]
    fn what_cannot_be_computed_names_the_expression() {
        let told = |expression: &str| format!("{:#}", run(expression, &[("a", Number::whole(7))]).err().unwrap());
        assert_eq!(told("a / 0"), "the expression 'a / 0': it divides by zero");
        assert!(told("b").contains("there is no 'b'; it may name a, values"));
        assert!(told("1e308 * 10").contains("gives inf, which is no number"));
        assert!(told("2 ** 2000").contains("gives inf"));
        assert!(told("2 ** 200").contains("more than 128 bits"));
    }
}
