use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use redraft_engine::cx::Cx;
use redraft_engine::io::{Value, Wildcard};
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};
use redraft_nodes::ops::resize::picture_size;
use redraft_nodes::python::expression::{Number, Term, evaluate};
use redraft_nodes::values::{Image, Latent};

/// Computes what an expression gives for `a`, `b` and `c`: `a * 8 + 1`, `ceil(a / b)`, `max(a.width / b, 0)`. Of a picture or a latent
/// `a.width` and `a.height` are taken, in pixels.
#[derive(Node)]
#[node(class = "MathExpression|pysssss", category = "utils", display = "Math Expression 🐍", output)]
struct MathExpression {
    #[input(multiline)]
    expression: String,
    a: Option<Wildcard>,
    b: Option<Wildcard>,
    c: Option<Wildcard>,
}

/// The value as a whole number, and as it is.
#[derive(Outputs)]
struct Computed {
    #[output(name = "INT")]
    int: i128,
    #[output(name = "FLOAT")]
    float: f64,
}

impl Run for MathExpression {
    type Out = Computed;

    fn run(self, cx: &mut Cx) -> Result<Computed> {
        let text = self.expression.replace('\n', " ").replace('\r', "");
        let mut names = IndexMap::new();
        for (name, given) in [("a", self.a), ("b", self.b), ("c", self.c)] {
            if let Some(given) = given {
                names.extend(terms(name, &given.0)?);
            }
        }
        let value =
            evaluate(&sides_named(&text), &names).with_context(|| format!("the expression '{}'", text.trim()))?;
        let int = value.truncated().with_context(|| format!("'{}' gives {value}, which is no INT", text.trim()))?;
        let float = value.as_float();
        cx.ui("value", value.to_string());
        Ok(Computed { int, float })
    }
}

/// What a name stands for, and its two sides. A side is called `a_width`, for the expressions know no points.
fn terms(name: &str, value: &Value) -> Result<Vec<(String, Term)>> {
    let sides = match (value.downcast::<Image>(), value.downcast::<Latent>()) {
        (Some(image), _) => Some(picture_size(&image.0)?),
        (_, Some(latent)) => {
            let size = latent.samples.size();
            let &[.., height, width] = size.as_slice() else { bail!("input '{name}' is a latent of shape {size:?}") };
            Some((width * 8, height * 8))
        }
        _ => None,
    };
    if let Some((width, height)) = sides {
        let side = |which: &str, side: i64| (format!("{name}_{which}"), Term::Number(Number::whole(side.into())));
        return Ok(vec![side("width", width), side("height", height)]);
    }
    let int = value.downcast::<i128>().map(|int| Number::whole(*int));
    let float = || value.downcast::<f64>().map(|float| Number::Float(*float));
    let flag = || value.downcast::<bool>().map(|flag| Number::Bool(*flag));
    match int.or_else(float).or_else(flag) {
        Some(number) => Ok(vec![(name.to_owned(), Term::Number(number))]),
        None => bail!("input '{name}' is no number but {}; connect a number, a picture or a latent", value.type_name()),
    }
}

/// The expression with `a_width` for `a.width`.
fn sides_named(text: &str) -> String {
    let mut named = text.to_owned();
    for name in ["a", "b", "c"] {
        for side in ["width", "height"] {
            named = named.replace(&format!("{name}.{side}"), &format!("{name}_{side}"));
        }
    }
    named
}
