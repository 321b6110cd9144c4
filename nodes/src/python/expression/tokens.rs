//! The words of an expression.

use num_bigint::BigInt;
use num_traits::Num;
use redraft_engine::python::parse_float;

use super::{Flaw, Number};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Number(Number),
    Name(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Longer signs stand before those that they begin with.
const SIGNS: [&str; 26] = [
    "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", "<", ">", "&",
    "|", "^", "~", "=", ":",
];

/// The tokens of a text up to the end of its first statement.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Flaw> {
    let mut rest = text.trim();
    let (mut found, mut open) = (Vec::new(), 0usize);
    while let Some(first) = rest.chars().next() {
        if first == '\n' && open == 0 || first == ';' {
            break;
        }
        if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
        } else if let Some(next) = rest.strip_prefix("\\\n") {
            rest = next;
        } else if first == '#' {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let (number, length) = number(rest)?;
            found.push(Token::Number(number));
            rest = &rest[length..];
        } else if first == '_' || first.is_alphabetic() {
            let length = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
            found.push(Token::Name(rest[..length].to_owned()));
            rest = &rest[length..];
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            open = match *sign {
                "(" | "[" => open + 1,
                ")" | "]" => open.saturating_sub(1),
                _ => open,
            };
            found.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else {
            let shown = first.escape_debug();
            return Err(Flaw::new(format!("'{shown}' is not understood; use numbers, names, operators and functions")));
        }
    }
    Ok(found)
}

/// The number that a text begins with, and how long it is.
fn number(text: &str) -> Result<(Number, usize), Flaw> {
    let bytes = text.as_bytes();
    let wrong = |length: usize| Flaw::new(format!("'{}' is no number", &text[..length]));
    let base = match bytes.get(1).map(u8::to_ascii_lowercase) {
        Some(b'x') if bytes[0] == b'0' => 16,
        Some(b'o') if bytes[0] == b'0' => 8,
        Some(b'b') if bytes[0] == b'0' => 2,
        _ => 10,
    };
    let is_word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    let mut length = 0;
    while let Some(&byte) = bytes.get(length) {
        let before = length.checked_sub(1).and_then(|at| bytes.get(at));
        let signs_exponent = base == 10 && matches!(byte, b'+' | b'-') && matches!(before, Some(b'e' | b'E'));
        if !(is_word(byte) || (base == 10 && byte == b'.') || signs_exponent) {
            break;
        }
        length += 1;
    }
    let word = &text[..length];
    if base != 10 {
        let digits = word[2..].strip_prefix('_').unwrap_or(&word[2..]);
        let plain = !digits.is_empty() && !digits.ends_with('_') && !digits.contains("__") && !digits.contains('+');
        let int = plain.then(|| BigInt::from_str_radix(&digits.replace('_', ""), base).ok()).flatten();
        return int.map(|int| (Number::Int(int), length)).ok_or_else(|| wrong(length));
    }
    if bytes[..length].iter().all(|byte| byte.is_ascii_digit() || *byte == b'_') {
        let plain = !word.ends_with('_') && !word.contains("__");
        // As in Python, a number other than 0 does not begin with 0.
        let padded = word.starts_with('0') && word.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
        let int = (plain && !padded).then(|| word.replace('_', "").parse().ok()).flatten();
        return int.map(|int| (Number::Int(int), length)).ok_or_else(|| wrong(length));
    }
    // `inf` and `nan` are names, not numbers.
    parse_float(word).map(|float| (Number::Float(float), length)).ok_or_else(|| wrong(length))
}
