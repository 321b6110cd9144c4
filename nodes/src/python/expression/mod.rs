//! Arithmetic expressions of Python: numbers, names, comparisons, conditions and a few functions, as the library simpleeval takes them
//! (its defaults, with the functions that ComfyUI's Math Expression gives it). Nothing else of Python is understood, and nothing can be
//! reached from an expression but the names that it is given.

mod arithmetic;
mod functions;
mod number;
mod parse;
mod tokens;
mod value;

#[cfg(test)]
mod tests;

use indexmap::IndexMap;

pub use self::number::Number;
use self::parse::Parser;
pub use self::value::Term;

/// Why an expression has no value, in lower case.
#[derive(Debug, PartialEq, Eq)]
pub struct Flaw(String);

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Flaw {}

impl Flaw {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// The longest expression, in bytes.
const LONGEST: usize = 100_000;
/// The most words and signs of one: chains of operators are as deep as they are long.
const MOST_TOKENS: usize = 2000;

/// The value of an expression. `names` is what it may name.
///
/// # Errors
/// If it is not understood, names something else, or has no value that is a number (a division by zero, a root of a negative number).
pub fn evaluate(text: &str, names: &IndexMap<String, Term>) -> Result<Number, Flaw> {
    if text.len() > LONGEST {
        return Err(Flaw::new(format!("it has {} bytes; write at most {LONGEST}", text.len())));
    }
    let tokens = tokens::tokens(text)?;
    if tokens.len() > MOST_TOKENS {
        return Err(Flaw::new(format!("it has {} words and signs; write at most {MOST_TOKENS}", tokens.len())));
    }
    value::value(&Parser::new(&tokens).whole()?, names).and_then(value::number)
}
