//! A small part of Python: names, numbers, texts, lists, conditions. Nothing else can be reached from a program.

mod node;
mod parse;
mod tokens;
mod value;

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::memory::ask_text;
use redraft_nodes::python::expression::Number;

use self::parse::{Statement, Tree};
use self::value::{Thing, binary, call, computed, holds, method};

/// The longest program, in bytes.
const LONGEST: usize = 100_000;

/// What a program gives: what it returns, or the value of its last statement.
fn run(program: &str, given: HashMap<String, Thing>) -> Result<Thing> {
    ensure!(program.len() <= LONGEST, "it has {} bytes; write at most {LONGEST}", program.len());
    let statements = parse::program(program)?;
    let mut names = given;
    match block(&statements, &mut names)? {
        Done::Returned(value) | Done::Went(value) => Ok(value),
    }
}

/// How a block has ended, with the value that it gives.
enum Done {
    Returned(Thing),
    Went(Thing),
}

fn block(statements: &[Statement], names: &mut HashMap<String, Thing>) -> Result<Done> {
    let mut last = Thing::Nothing;
    for statement in statements {
        last = match statement {
            Statement::Value(tree) => value(tree, names)?,
            Statement::Return(tree) => {
                return Ok(Done::Returned(tree.as_ref().map_or(Ok(Thing::Nothing), |tree| value(tree, names))?));
            }
            Statement::Assign(targets, tree) => assign(targets, value(tree, names)?, names)?,
            Statement::If(branches, otherwise) => {
                let mut chosen = otherwise;
                for (condition, body) in branches {
                    if value(condition, names)?.truth() {
                        chosen = body;
                        break;
                    }
                }
                match block(chosen, names)? {
                    Done::Went(value) => value,
                    returned => return Ok(returned),
                }
            }
        };
    }
    Ok(Done::Went(last))
}

fn assign(targets: &[String], value: Thing, names: &mut HashMap<String, Thing>) -> Result<Thing> {
    if let [name] = targets {
        names.insert(name.clone(), value.clone());
        return Ok(value);
    }
    let members = value.members()?;
    ensure!(
        members.len() >= targets.len(),
        "{} names stand before '=', and the value has {} members",
        targets.len(),
        members.len()
    );
    names.extend(targets.iter().cloned().zip(members));
    Ok(value)
}

fn value(tree: &Tree, names: &HashMap<String, Thing>) -> Result<Thing> {
    let of = |tree: &Tree| value(tree, names);
    let all = |trees: &[Tree]| {
        let (mut found, mut sum) = (Vec::with_capacity(trees.len()), 0);
        for tree in trees {
            let value = of(tree)?;
            sum = value.added_to(sum)?;
            found.push(value);
        }
        Ok::<_, anyhow::Error>(found)
    };
    let flag = |flag: bool| Thing::Number(Number::whole(i128::from(flag)));
    Ok(match tree {
        Tree::Value(value) => value.clone(),
        Tree::Name(name) => match (names.get(name), name.as_str()) {
            (Some(value), _) => value.clone(),
            (None, "None") => Thing::Nothing,
            (None, "True") => Thing::Number(Number::Bool(true)),
            (None, "False") => Thing::Number(Number::Bool(false)),
            // The inputs that are not connected.
            (None, name) if name.len() == 1 && name.starts_with(|c: char| c.is_ascii_lowercase()) => Thing::Nothing,
            (None, name) => bail!("there is no '{name}'; name an input, a to z, or what was assigned before"),
        },
        Tree::Format(parts) => {
            let texts: Vec<_> = all(parts)?.iter().map(Thing::text).collect();
            ask_text(texts.iter().map(String::len).sum())?;
            Thing::Text(texts.concat())
        }
        Tree::Attribute(tree, name) => of(tree)?.attribute(name)?,
        Tree::Member(parts) => of(&parts[0])?.member(&of(&parts[1])?)?,
        Tree::Call(name, arguments) => call(name, &all(arguments)?)?,
        Tree::Method(tree, name, arguments) => method(&of(tree)?, name, &all(arguments)?)?,
        Tree::Not(tree) => flag(!of(tree)?.truth()),
        Tree::Minus(tree) => computed("-x", &[("x", of(tree)?.number()?)])?,
        Tree::Binary(sign, sides) => {
            binary(sign, &of(&sides[0])?, &of(&sides[1])?).with_context(|| format!("'{sign}'"))?
        }
        Tree::Compare(sign, sides) => flag(holds(sign, &of(&sides[0])?, &of(&sides[1])?)?),
        Tree::And(sides) => {
            let left = of(&sides[0])?;
            if left.truth() { of(&sides[1])? } else { left }
        }
        Tree::Or(sides) => {
            let left = of(&sides[0])?;
            if left.truth() { left } else { of(&sides[1])? }
        }
        Tree::If(parts) => of(if of(&parts[0])?.truth() { &parts[1] } else { &parts[2] })?,
        Tree::List(trees) => Thing::List(all(trees)?),
        Tree::Tuple(trees) => Thing::Tuple(all(trees)?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn given() -> HashMap<String, Thing> {
        let number = |number| Thing::Number(Number::whole(number));
        let text = |text: &str| Thing::Text(text.to_owned());
        let all = [("a", text("apple pen")), ("b", number(7)), ("c", Thing::Number(Number::Float(2.5)))];
        all.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn shown(program: &str) -> String {
        run(program, given()).map_or_else(|error| format!("{error:#}"), |value| value.text())
    }

    /// What Python 3.11 gives for the same under the pack's evaluator.
    #[test]
    fn programs_give_what_python_gives() {
        for (program, wanted) in [
            ("return a.replace('apple', \"pine\")", "pine pen"),
            ("b / 2", "3.5"),
            ("b // 2 ** 2 + -b % 4", "2"),
            ("round(b / c, 1)", "2.8"),
            ("x = b + 1\ny = x * 2\ny", "16"),
            (
                "# only\nx, y = (1, 2)\nif x > y:\n    r = 'big'\nelif x == y:\n    r = 'same'\nelse:\n    r = f\"{x} < {y}, {{c}}\"\nprint(r)\n\nreturn r",
                "1 < 2, {c}",
            ),
            ("if b > 5:\n  if c > 5:\n    return 1\n  return 2\nreturn 3", "2"),
            ("if b > 5: return 'one line'\n'two'", "one line"),
            ("b > 5", "1"),
            ("not b", "0"),
            ("b and a", "apple pen"),
            ("d or 'none'", "none"),
            ("'pen' in a", "1"),
            ("a.split()[-1].upper() + '!'", "PEN!"),
            ("', '.join(['x', str(b), str(c)])", "x, 7, 2.5"),
            ("[1, 'x', (2,), None, True]", "[1, 'x', (2,), None, True]"),
            ("max(1, b, c)", "7"),
            ("'yes' if b == 7 else 'no'", "yes"),
            ("int('12') + len(a)", "21"),
            ("f'{a}\\n{b + 1}'", "apple pen\n8"),
        ] {
            assert_eq!(shown(program), wanted, "{program}");
        }
    }

    #[test]
    fn what_is_not_understood_says_so() {
        for (program, words) in [
            ("import os", "'import' is not understood here"),
            ("x = 1 y", "an operator is missing before 'y'"),
            ("(1", "is missing"),
            ("'open", "a text has no end"),
            ("if b:\nreturn 1", "an indented line is missing"),
            ("  return 1\n return 2", "indented"),
            ("value", "there is no 'value'"),
            ("a - 1", "a text stands where a number is wanted"),
            ("b.shape", "a number has no 'shape'"),
            ("__import__('os')", "there is no function __import__"),
            ("x, y = (1,)", "2 names stand before '='"),
            ("1 / 0", "'/'"),
            ("f'{b:03d}'", "is not understood"),
        ] {
            assert!(shown(program).contains(words), "{program}: {}", shown(program));
        }
        assert!(shown(&"(".repeat(500)).contains("nested deeper"));
        // A few lines that would hold more than there is, or lie deeper than the stack.
        assert!(shown(&format!("x = 'pen'\n{}", "x = [x, x]\n".repeat(40))).contains("hold more than"));
        assert!(shown(&format!("x = 1\n{}", "x = [x]\n".repeat(5000))).contains("deeper than 64"));
        assert!(shown(&format!("x = ['pen']\n{}", "x = x + x\n".repeat(40))).contains("hold more than"));
        let long = "x = x + x\n".repeat(20);
        assert!(shown(&format!("x = 'pen'\n{long}y = [{}]", "x, ".repeat(1000))).contains("hold more than"));
        assert!(shown(&"if 1:\n".repeat(3)).contains("indented"));
    }
}
