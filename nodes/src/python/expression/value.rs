//! What an expression stands for.

use indexmap::IndexMap;

use super::arithmetic::{binary, compare, signed};
use super::functions::{Call, call};
use super::parse::{IN, NOT_IN, Tree};
use super::{Flaw, Number};

/// What a part of an expression stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    Number(Number),
    List(Vec<Number>),
}

/// As in Python, `and`, `or` and conditions do not look at what does not count.
pub(super) fn value(tree: &Tree, names: &IndexMap<String, Term>) -> Result<Term, Flaw> {
    let of = |tree: &Tree| value(tree, names);
    let number_of = |tree: &Tree| of(tree).and_then(number);
    Ok(Term::Number(match tree {
        Tree::Number(number) => number.clone(),
        Tree::Name(name) => return named(name, names),
        Tree::Call { name, arguments, digits } => {
            let arguments = arguments.iter().map(of).collect::<Result<_, _>>()?;
            let digits = digits.as_deref().map(number_of).transpose()?;
            call(name, Call { arguments, digits })?
        }
        Tree::Member(parts) => member(&list(of(&parts[0])?)?, number_of(&parts[1])?)?,
        Tree::Slice { list: tree, from, to } => {
            let ends = [from, to].map(|end| end.as_deref().map(number_of).transpose());
            let [from, to] = ends;
            return slice(list(of(tree)?)?, from?, to?).map(Term::List);
        }
        Tree::Sign(sign, tree) => signed(sign, &number_of(tree)?)?,
        Tree::Binary(sign, sides) => binary(sign, &number_of(&sides[0])?, &number_of(&sides[1])?)?,
        Tree::Compare(first, others) => Number::Bool(holds(of(first)?, others, &of)?),
        Tree::Not(tree) => Number::Bool(!truth(&of(tree)?)),
        Tree::And(sides) => {
            let left = of(&sides[0])?;
            return if truth(&left) { of(&sides[1]) } else { Ok(left) };
        }
        Tree::Or(sides) => {
            let left = of(&sides[0])?;
            return if truth(&left) { Ok(left) } else { of(&sides[1]) };
        }
        Tree::If(parts) => return of(if truth(&of(&parts[0])?) { &parts[1] } else { &parts[2] }),
    }))
}

fn named(name: &str, names: &IndexMap<String, Term>) -> Result<Term, Flaw> {
    match (name, names.get(name)) {
        (_, Some(term)) => Ok(term.clone()),
        ("True", None) => Ok(Term::Number(Number::Bool(true))),
        ("False", None) => Ok(Term::Number(Number::Bool(false))),
        (_, None) => {
            let known: Vec<_> = names.keys().map(String::as_str).collect();
            Err(Flaw::new(format!("there is no '{name}'; it may name {}", known.join(", "))))
        }
    }
}

/// Whether all of a chain of comparisons hold; after the first that does not, nothing is looked at.
fn holds(first: Term, others: &[(&'static str, Tree)], of: &dyn Fn(&Tree) -> Result<Term, Flaw>) -> Result<bool, Flaw> {
    let mut left = first;
    for (how, tree) in others {
        let right = of(tree)?;
        let found = match (&left, &right, *how) {
            (Term::Number(one), Term::List(list), IN | NOT_IN) => {
                list.iter().any(|other| compare("==", one, other)) == (*how == IN)
            }
            (_, _, IN | NOT_IN) => return Err(Flaw::new("'in' looks for a number in a list, as in 2 in values")),
            (Term::Number(a), Term::Number(b), how) => compare(how, a, b),
            _ => return Err(Flaw::new("lists cannot be compared; compare their members")),
        };
        if !found {
            return Ok(false);
        }
        left = right;
    }
    Ok(true)
}

fn member(list: &[Number], at: Number) -> Result<Number, Flaw> {
    let at = place(&at)?;
    let at = if at < 0 { at + list.len() as i128 } else { at };
    let found = usize::try_from(at).ok().and_then(|at| list.get(at).cloned());
    found.ok_or_else(|| Flaw::new(format!("the list has {} members, and none of that number", list.len())))
}

fn slice(list: Vec<Number>, from: Option<Number>, to: Option<Number>) -> Result<Vec<Number>, Flaw> {
    let count = list.len() as i128;
    let end = |at: Option<Number>, otherwise: i128| -> Result<usize, Flaw> {
        let at = at.as_ref().map_or(Ok(otherwise), place)?;
        Ok((if at < 0 { at.saturating_add(count).max(0) } else { at.min(count) }) as usize)
    };
    let (from, to) = (end(from, 0)?, end(to, count)?);
    Ok(list.into_iter().skip(from).take(to.saturating_sub(from)).collect())
}

fn place(number: &Number) -> Result<i128, Flaw> {
    let int = number.as_int().and_then(|_| number.truncated());
    int.ok_or_else(|| Flaw::new("a place in a list is a whole number"))
}

fn truth(term: &Term) -> bool {
    match term {
        Term::Number(number) => number.truth(),
        Term::List(list) => !list.is_empty(),
    }
}

pub(super) fn number(term: Term) -> Result<Number, Flaw> {
    match term {
        Term::Number(number) => Ok(number),
        Term::List(_) => {
            Err(Flaw::new("a list stands where a number is wanted; take one of its members, as in values[0]"))
        }
    }
}

fn list(term: Term) -> Result<Vec<Number>, Flaw> {
    match term {
        Term::List(list) => Ok(list),
        Term::Number(_) => Err(Flaw::new("a number has no members; [...] goes behind a list, as in values[0]")),
    }
}
