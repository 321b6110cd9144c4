use std::rc::Rc;

use anyhow::{Context, Result, bail};
use redraft_engine::cx::Cx;
use redraft_engine::io::{Emit, Socket, Value, Wildcard};
use redraft_engine::node::Run;
use redraft_engine::python::parse_float;
use redraft_engine::{Node, Outputs};
use redraft_nodes::python::expression::{Number, Term, evaluate};
use redraft_nodes::values::{Image, Mask};

/// Computes what an expression gives for `a`, `b` and `c`: `a / 2`, `round(a * b) + c`, `max(a, b)`. Of a picture or a mask the sides of
/// its tensor are taken, `a[1]` the height, `a[2]` the width.
#[derive(Node)]
#[node(class = "SimpleMath+", category = "essentials/utilities", display = "🔧 Simple Math")]
struct SimpleMath {
    value: String,
    a: Option<Wildcard>,
    b: Option<Wildcard>,
    c: Option<Wildcard>,
}

/// The value, rounded to a whole number, and as it is.
#[derive(Outputs)]
struct Computed {
    int: i128,
    plain: Plain,
}

/// A FLOAT, or, as in Python, a whole number where it was computed from whole numbers alone.
struct Plain(Result<i128, f64>);

impl Emit for Plain {
    const TYPE: &'static str = "FLOAT";

    fn into_socket(self) -> Socket {
        Rc::new([match self.0 {
            Ok(int) => Value::new("INT", int),
            Err(float) => Value::new("FLOAT", float),
        }])
    }
}

impl Run for SimpleMath {
    type Out = Computed;

    fn run(self, _: &mut Cx) -> Result<Computed> {
        let given = [("a", self.a), ("b", self.b), ("c", self.c)];
        let each = given.into_iter().map(|(name, given)| {
            let term = given.map_or(Ok(Term::Number(Number::Float(0.0))), |given| term(name, &given.0))?;
            Ok((name.to_owned(), term))
        });
        let names = each.chain([Ok(("d".to_owned(), Term::Number(Number::Float(0.0))))]).collect::<Result<_>>()?;
        let value = evaluate(&self.value, &names).with_context(|| format!("the expression '{}'", self.value.trim()))?;
        let float = match value.as_float() {
            float if float.is_nan() => 0.0,
            float => float,
        };
        let is_whole = !matches!(value, Number::Float(_));
        let rounded = if is_whole { value } else { Number::Float(float.round_ties_even()) };
        let int = rounded.truncated();
        let int =
            int.with_context(|| format!("the expression '{}' gives {float}, which is no INT", self.value.trim()))?;
        Ok(Computed { int, plain: Plain(if is_whole { Ok(int) } else { Err(float) }) })
    }
}

fn term(name: &str, value: &Value) -> Result<Term> {
    let image = value.downcast::<Image>().map(|image| image.0.size());
    if let Some(sides) = image.or_else(|| value.downcast::<Mask>().map(|mask| mask.0.size())) {
        return Ok(Term::List(sides.into_iter().map(|side| Number::whole(side.into())).collect()));
    }
    let int = value.downcast::<i128>().map(|int| Number::whole(*int));
    let float = || value.downcast::<f64>().map(|float| Number::Float(*float));
    let flag = || value.downcast::<bool>().map(|flag| Number::Bool(*flag));
    let text = || value.downcast::<String>().and_then(|text| parse_float(text)).map(Number::Float);
    match int.or_else(float).or_else(flag).or_else(text) {
        Some(number) => Ok(Term::Number(number)),
        None => bail!("input '{name}' is no number but {}; connect a number, a picture or a mask", value.type_name()),
    }
}
