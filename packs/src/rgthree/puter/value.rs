//! What values are, and what is done with them.

use anyhow::{Context, Result, bail, ensure};
use indexmap::IndexMap;
use redraft_engine::io::Value;
use redraft_engine::memory::ask_text;
use redraft_engine::python::{parse_float, repr_float};
use redraft_nodes::python::expression::{Number, Term, evaluate};
use redraft_nodes::python::text::is_space;
use redraft_nodes::values::{Image, Mask};
use serde_json::{Value as Json, json};

#[derive(Clone, Debug)]
pub(super) enum Thing {
    Nothing,
    Number(Number),
    Text(String),
    List(Vec<Thing>),
    Tuple(Vec<Thing>),
    /// What came over a link and is only passed on or measured.
    Other(Value),
}

/// The most that a list may hold: bytes of texts, and 64 for each member.
const MOST: usize = 1 << 26;
/// How deep lists may lie in each other.
const DEEPEST: usize = 64;

impl Thing {
    /// What a list holds with this as one more member, beside the `sum` of the others; an error if that is too much, or lies too deep.
    pub(super) fn added_to(&self, sum: usize) -> Result<usize> {
        self.measure(sum, 1)
    }

    fn measure(&self, sum: usize, depth: usize) -> Result<usize> {
        ensure!(depth <= DEEPEST, "lists lie in each other deeper than {DEEPEST}; make it simpler");
        let sum = sum.saturating_add(64);
        let sum = match self {
            Self::Text(text) => sum.saturating_add(text.len()),
            Self::List(all) | Self::Tuple(all) => {
                all.iter().try_fold(sum, |sum, member| member.measure(sum, depth + 1))?
            }
            _ => sum,
        };
        ensure!(sum <= MOST, "lists and texts in it hold more than {MOST} bytes; use less");
        Ok(sum)
    }

    pub(super) fn of(value: &Value) -> Self {
        if value.is_nothing() {
            return Self::Nothing;
        }
        let int = value.downcast::<i128>().map(|int| Number::whole(*int));
        let float = || value.downcast::<f64>().map(|float| Number::Float(*float));
        let flag = || value.downcast::<bool>().map(|flag| Number::Bool(*flag));
        let text = || value.downcast::<String>().cloned().map(Self::Text);
        let plain = int.or_else(float).or_else(flag).map(Self::Number).or_else(text);
        plain.unwrap_or_else(|| Self::Other(value.clone()))
    }

    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Number(number) => number.truth(),
            Self::Text(text) => !text.is_empty(),
            Self::List(all) | Self::Tuple(all) => !all.is_empty(),
            Self::Other(_) => true,
        }
    }

    /// Python's `str`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.written(),
        }
    }

    /// Python's `repr`.
    fn written(&self) -> String {
        let all = |members: &[Self]| members.iter().map(Self::written).collect::<Vec<_>>().join(", ");
        match self {
            Self::Nothing => "None".to_owned(),
            Self::Number(Number::Float(float)) => repr_float(*float),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => redraft_engine::constant::repr(&json!(text)),
            Self::List(members) => format!("[{}]", all(members)),
            Self::Tuple(members) if members.len() == 1 => format!("({},)", all(members)),
            Self::Tuple(members) => format!("({})", all(members)),
            Self::Other(value) => value.type_name().to_owned(),
        }
    }

    pub(super) fn json(&self) -> Json {
        match self {
            Self::Nothing => Json::Null,
            Self::Number(Number::Bool(flag)) => json!(flag),
            Self::Number(number @ Number::Float(_)) => json!(number.as_float()),
            Self::Number(number) => number.truncated().map_or(Json::Null, redraft_engine::schema::integer),
            Self::Text(text) => json!(text),
            Self::List(all) | Self::Tuple(all) => all.iter().map(Self::json).collect(),
            Self::Other(value) => json!(value.type_name()),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "None",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Other(value) => value.type_name(),
        }
    }

    pub(super) fn number(&self) -> Result<Number> {
        match self {
            Self::Number(number) => Ok(number.clone()),
            other => bail!("{} stands where a number is wanted", other.kind()),
        }
    }

    /// The members of a list or tuple; of a text its characters.
    pub(super) fn members(&self) -> Result<Vec<Self>> {
        match self {
            Self::List(all) | Self::Tuple(all) => Ok(all.clone()),
            Self::Text(text) => {
                ensure!(text.len() <= MOST / 64, "a text of {} bytes has too many members; use less", text.len());
                Ok(text.chars().map(|c| Self::Text(c.to_string())).collect())
            }
            other => bail!("{} has no members", other.kind()),
        }
    }

    /// `thing[at]`.
    pub(super) fn member(&self, at: &Self) -> Result<Self> {
        let all = self.members()?;
        let at = at.number()?.truncated().context("a place is a whole number")?;
        let place = if at < 0 { at + all.len() as i128 } else { at };
        let found = usize::try_from(place).ok().and_then(|place| all.get(place).cloned());
        found.with_context(|| format!("there is no member {at} among {}", all.len()))
    }

    /// `thing.name`.
    pub(super) fn attribute(&self, name: &str) -> Result<Self> {
        let Self::Other(value) = self else { bail!("{} has no '{name}' that is known here", self.kind()) };
        let image = value.downcast::<Image>().map(|image| image.0.size());
        let sides = image.or_else(|| value.downcast::<Mask>().map(|mask| mask.0.size()));
        match sides.filter(|_| name == "shape") {
            Some(sides) => Ok(Self::Tuple(sides.into_iter().map(whole).collect())),
            None => bail!("{} has no '{name}' that is known here; 'shape' of pictures and masks is", self.kind()),
        }
    }
}

fn whole(number: i64) -> Thing {
    Thing::Number(Number::whole(number.into()))
}

/// Two things with an arithmetic sign between them.
pub(super) fn binary(sign: &str, left: &Thing, right: &Thing) -> Result<Thing> {
    match (sign, left, right) {
        ("+", Thing::Text(one), Thing::Text(other)) => {
            ask_text(one.len() + other.len())?;
            Ok(Thing::Text(format!("{one}{other}")))
        }
        ("+", Thing::List(one), Thing::List(other)) => {
            one.iter().chain(other).try_fold(0, |sum, member| member.added_to(sum))?;
            Ok(Thing::List([one.as_slice(), other.as_slice()].concat()))
        }
        _ => computed(&format!("x {sign} y"), &[("x", left.number()?), ("y", right.number()?)]),
    }
}

/// An expression of numbers.
pub(super) fn computed(expression: &str, numbers: &[(&str, Number)]) -> Result<Thing> {
    let names: IndexMap<_, _> =
        numbers.iter().map(|(name, number)| ((*name).to_owned(), Term::Number(number.clone()))).collect();
    Ok(Thing::Number(evaluate(expression, &names)?))
}

/// Whether two things are as a sign says.
pub(super) fn holds(sign: &str, left: &Thing, right: &Thing) -> Result<bool> {
    Ok(match (sign, left, right) {
        ("in", Thing::Text(part), Thing::Text(whole)) => whole.contains(part.as_str()),
        ("in", one, many) => {
            let each = many.members()?.iter().map(|member| holds("==", one, member)).collect::<Result<Vec<_>>>()?;
            each.contains(&true)
        }
        (_, Thing::Number(one), Thing::Number(other)) => {
            computed(&format!("x {sign} y"), &[("x", one.clone()), ("y", other.clone())])?.truth()
        }
        ("==", one, other) => same(one, other)?,
        ("!=", one, other) => !same(one, other)?,
        (_, Thing::Text(one), Thing::Text(other)) => match sign {
            "<" => one < other,
            "<=" => one <= other,
            ">" => one > other,
            _ => one >= other,
        },
        (_, one, other) => bail!("{} and {} cannot be compared with '{sign}'", one.kind(), other.kind()),
    })
}

fn same(one: &Thing, other: &Thing) -> Result<bool> {
    Ok(match (one, other) {
        (Thing::Nothing, Thing::Nothing) => true,
        (Thing::Text(one), Thing::Text(other)) => one == other,
        (Thing::List(one), Thing::List(other)) | (Thing::Tuple(one), Thing::Tuple(other)) => {
            let pairs =
                one.iter().zip(other).map(|(one, other)| holds("==", one, other)).collect::<Result<Vec<_>>>()?;
            one.len() == other.len() && !pairs.contains(&false)
        }
        _ => false,
    })
}

/// A function that is called by its name.
pub(super) fn call(name: &str, arguments: &[Thing]) -> Result<Thing> {
    let number = |at: usize| arguments.get(at).map(Thing::number).context("an argument is missing")?;
    let one = || match arguments {
        [one] => Ok(one),
        _ => bail!("{name} takes one value, and is given {}", arguments.len()),
    };
    Ok(match name {
        "print" => Thing::Nothing,
        "str" => Thing::Text(one()?.text()),
        "bool" => Thing::Number(Number::Bool(one()?.truth())),
        "len" => whole(i64::try_from(one()?.members()?.len())?),
        "list" => Thing::List(one()?.members()?),
        "tuple" => Thing::Tuple(one()?.members()?),
        "int" | "float" => match one()? {
            Thing::Text(text) => {
                let float = parse_float(text).with_context(|| format!("'{text}' is no number"))?;
                let int = (name == "int").then(|| text.trim().parse::<i128>().ok()).flatten();
                ensure!(name == "float" || int.is_some(), "'{text}' is no whole number");
                Thing::Number(int.map_or(Number::Float(float), Number::whole))
            }
            other => computed(&format!("{name}(x)"), &[("x", other.number()?)])?,
        },
        "round" | "ceil" | "floor" | "sqrt" if arguments.len() == 1 => {
            computed(&format!("{name}(x)"), &[("x", number(0)?)])?
        }
        "round" if arguments.len() == 2 => computed("round(x, y)", &[("x", number(0)?), ("y", number(1)?)])?,
        "min" | "max" if arguments.len() >= 2 => {
            let mut best = number(0)?;
            for at in 1..arguments.len() {
                best = computed(&format!("{name}(x, y)"), &[("x", best), ("y", number(at)?)])?.number()?;
            }
            Thing::Number(best)
        }
        _ => bail!(
            "there is no function {name} for {} values here; use str, int, float, bool, len, list, tuple, round, ceil, floor, sqrt, \
             min and max",
            arguments.len()
        ),
    })
}

/// A method of a text.
pub(super) fn method(of: &Thing, name: &str, arguments: &[Thing]) -> Result<Thing> {
    let Thing::Text(text) = of else { bail!("{} has no method {name} that is known here", of.kind()) };
    let given = |at: usize| match arguments.get(at) {
        Some(Thing::Text(given)) => Ok(given.as_str()),
        Some(other) => bail!("{name} takes a text, and is given {}", other.kind()),
        None => bail!("{name} lacks an argument"),
    };
    Ok(match (name, arguments.len()) {
        ("replace", 2) => {
            let (what, by) = (given(0)?, given(1)?);
            ask_text(text.len().saturating_add(text.matches(what).count().saturating_mul(by.len())))?;
            Thing::Text(text.replace(what, by))
        }
        ("lower", 0) => Thing::Text(text.to_lowercase()),
        ("upper", 0) => Thing::Text(text.to_uppercase()),
        ("strip", 0) => Thing::Text(text.trim_matches(is_space).to_owned()),
        ("startswith", 1) => Thing::Number(Number::Bool(text.starts_with(given(0)?))),
        ("endswith", 1) => Thing::Number(Number::Bool(text.ends_with(given(0)?))),
        ("split", 0) => {
            ensure!(text.len() <= MOST / 32, "split is given {} bytes; use a shorter text", text.len());
            let parts = text.split(is_space).filter(|part| !part.is_empty());
            Thing::List(parts.map(|part| Thing::Text(part.to_owned())).collect())
        }
        ("split", 1) => {
            let at = given(0)?;
            ensure!(!at.is_empty(), "split is given an empty text; give it what stands between the parts");
            ensure!(text.matches(at).count() <= MOST / 64, "split gives too many parts; use a shorter text");
            Thing::List(text.split(at).map(|part| Thing::Text(part.to_owned())).collect())
        }
        ("join", 1) => {
            let members = arguments.first().map_or(Ok(Vec::new()), Thing::members)?;
            let each = members.iter().map(|member| match member {
                Thing::Text(part) => Ok(part.clone()),
                other => bail!("join takes texts, and is given {}", other.kind()),
            });
            let parts = each.collect::<Result<Vec<_>>>()?;
            ask_text(parts.iter().map(|part| part.len() + text.len()).sum())?;
            Thing::Text(parts.join(text))
        }
        _ => bail!(
            "a text has no method {name} for {} values here; use replace, lower, upper, strip, startswith, endswith, split and join",
            arguments.len()
        ),
    })
}
