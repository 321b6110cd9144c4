//! The words of a program.

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::python::parse_float;
use redraft_nodes::python::expression::Number;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Number(Number),
    Text(String),
    /// A text with expressions in braces, as it is written.
    Format(String),
    Name(String),
    Sign(&'static str),
    Newline,
    Indent,
    Dedent,
}

/// Longer signs stand before those that they begin with.
const SIGNS: [&str; 24] = [
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", ".", ":", "=", "<", ">", "{",
    "}", ";",
];

/// The tokens of a program. Lines that are indented further are between `Indent` and `Dedent`.
pub(super) fn tokens(program: &str) -> Result<Vec<Token>> {
    let mut found = Vec::new();
    let mut indents = vec![0];
    let mut open = 0usize;
    let mut rest = program;
    let mut fresh = true;
    while !rest.is_empty() {
        if fresh && open == 0 {
            let body = rest.trim_start_matches([' ', '\t']);
            let indent = rest.len() - body.len();
            rest = body;
            if !rest.starts_with(['\n', '\r', '#']) && !rest.is_empty() {
                indentation(indent, &mut indents, &mut found)?;
            }
        }
        fresh = false;
        let Some(first) = rest.chars().next() else { break };
        if first == '\n' {
            fresh = true;
            if open == 0 && !matches!(found.last(), None | Some(Token::Newline)) {
                found.push(Token::Newline);
            }
            rest = &rest[1..];
        } else if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
        } else if first == '#' {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else {
            let (token, length) = word(rest)?;
            match token {
                Token::Sign("(" | "[" | "{") => open += 1,
                Token::Sign(")" | "]" | "}") => open = open.saturating_sub(1),
                _ => {}
            }
            found.push(token);
            rest = &rest[length..];
        }
    }
    found.push(Token::Newline);
    found.extend(indents.iter().skip(1).map(|_| Token::Dedent));
    Ok(found)
}

fn indentation(indent: usize, indents: &mut Vec<usize>, found: &mut Vec<Token>) -> Result<()> {
    if indents.last().is_some_and(|last| indent > *last) {
        indents.push(indent);
        found.push(Token::Indent);
    }
    while indents.last().is_some_and(|last| indent < *last) {
        indents.pop();
        found.push(Token::Dedent);
    }
    ensure!(indents.last() == Some(&indent), "a line is indented as no other before it; indent it alike");
    Ok(())
}

/// The first token of a text, and how many bytes it takes.
fn word(text: &str) -> Result<(Token, usize)> {
    let quote = |text: &str| text.starts_with(['"', '\'']);
    if quote(text) {
        let (inner, length) = quoted(text)?;
        return Ok((Token::Text(unescaped(inner)), length));
    }
    if let Some(rest) = text.strip_prefix(['f', 'F']).filter(|rest| quote(rest)) {
        let (inner, length) = quoted(rest)?;
        return Ok((Token::Format(inner.to_owned()), length + 1));
    }
    let length = |is: fn(char) -> bool| text.find(|c| !is(c)).unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let digits = length(|c| c.is_ascii_digit() || c == '.' || c == '_');
        let plain = text[..digits].replace('_', "");
        let number = match plain.contains('.') {
            true => parse_float(&plain).map(Number::Float),
            false => plain.parse().ok().map(Number::whole),
        };
        return Ok((Token::Number(number.with_context(|| format!("'{plain}' is no number"))?), digits));
    }
    if text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        let name = length(|c| c.is_alphanumeric() || c == '_');
        return Ok((Token::Name(text[..name].to_owned()), name));
    }
    match SIGNS.into_iter().find(|sign| text.starts_with(sign)) {
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None => bail!("'{}' is not understood here", text.chars().next().unwrap_or_default().escape_debug()),
    }
}

/// What stands between quotes, and how many bytes it takes with them.
fn quoted(text: &str) -> Result<(&str, usize)> {
    let quote = if text.starts_with('"') { '"' } else { '\'' };
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' => break,
            c if c == quote => return Ok((&text[1..at], at + 1)),
            _ => {}
        }
    }
    bail!("a text has no end; close it with {quote}")
}

/// A text with its escapes read.
pub(super) fn unescaped(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            made.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => made.push('\n'),
            Some('t') => made.push('\t'),
            Some('r') => made.push('\r'),
            Some(c @ ('\\' | '\'' | '"')) => made.push(c),
            Some(other) => made.extend(['\\', other]),
            None => made.push('\\'),
        }
    }
    made
}
