//! JSON from strangers: bounded in size and depth, exact in its integers, with errors that say where.

use serde_json::Value;

use super::types::ReadError;

/// The largest JSON text that is read, in bytes.
pub const MAX_JSON: usize = 64 << 20;
/// How many values one text may hold. Each takes some hundred bytes once it is read, however short it is written.
const MAX_VALUES: usize = 1 << 21;

/// Parses one JSON text, and says whether `NaN` or an infinity stood in it.
///
/// Python writes `NaN`, `Infinity` and `-Infinity` (in `is_changed`, for one), which JSON does not have: they become
/// `null`. Integers keep all their 64 bits. A byte order mark of UTF-8 is passed over.
///
/// # Errors
/// When the text is too large or holds too many values, is no JSON, cut off, nested deeper than 128 levels, or not UTF-8; with line and column.
pub fn parse(bytes: &[u8]) -> Result<(Value, bool), ReadError> {
    if bytes.len() > MAX_JSON {
        return Err(ReadError::TooLarge { bytes: bytes.len(), limit: MAX_JSON });
    }
    if looks_like_utf16(bytes) {
        return Err(ReadError::json(1, 1, "the text is UTF-16: save the file as UTF-8"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = place(bytes, error.valid_up_to());
        ReadError::json(line, column, "neither JSON nor a picture that can be read: these bytes are no UTF-8 text")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_VALUES && values(text) > MAX_VALUES {
        return Err(ReadError::TooMany { limit: MAX_VALUES });
    }
    if text.trim().is_empty() {
        return Err(ReadError::json(1, 1, "the file is empty: give it a workflow"));
    }
    match serde_json::from_str(text) {
        Ok(value) => Ok((value, false)),
        Err(strict) => {
            let tolerant = without_nan(text).and_then(|text| serde_json::from_str(&text).ok());
            tolerant.map(|value| (value, true)).ok_or_else(|| explain(&strict))
        }
    }
}

/// How many values a text holds at most: one, and one more behind each comma and each opening bracket.
fn values(text: &str) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b',' | b'[' | b'{' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

fn explain(error: &serde_json::Error) -> ReadError {
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words).to_owned();
    let message = if error.is_eof() {
        format!("{words}: the file is cut off, or is no workflow")
    } else if words.contains("recursion limit") {
        "nested deeper than 128 levels: no workflow is".to_owned()
    } else {
        format!("{words}: the file is no JSON, or was damaged")
    };
    ReadError::json(error.line(), error.column(), message)
}

fn looks_like_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe])
        || bytes.starts_with(&[0xfe, 0xff])
        || matches!(bytes, [b'{', 0, ..] | [0, b'{', ..])
}

/// Line and column, counted from one, of a byte.
fn place(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = &bytes[..at.min(bytes.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    (line, column)
}

/// The text with Python's names for what is no number replaced by `null`, or nothing where none stands in it.
fn without_nan(text: &str) -> Option<String> {
    const NAMES: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut quoted, mut found) = (text, false, false);
    while let Some(c) = rest.chars().next() {
        let mut width = c.len_utf8();
        if quoted && c == '\\' {
            width += rest[1..].chars().next().map_or(0, char::len_utf8);
        } else if c == '"' {
            quoted = !quoted;
        } else if !quoted && let Some(name) = NAMES.iter().find(|name| rest.starts_with(**name)) {
            found = true;
            out.push_str("null");
            rest = &rest[name.len()..];
            continue;
        }
        out.push_str(&rest[..width]);
        rest = &rest[width..];
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn message(bytes: &[u8]) -> String {
        parse(bytes).unwrap_err().to_string()
    }

    #[test]
    fn integers_keep_64_bits() {
        let (value, _) = parse(b"[18446744073709551615, -9223372036854775808]").unwrap();
        assert_eq!(value, json!([u64::MAX, i64::MIN]));
    }

    #[test]
    fn python_s_nan_is_null() {
        let (value, tolerated) = parse(br#"{"a\\": [NaN, -Infinity, Infinity, "NaN \" NaN"]}"#).unwrap();
        assert_eq!(value, json!({"a\\": [null, null, null, "NaN \" NaN"]}));
        assert!(tolerated);
    }

    #[test]
    fn errors_say_where_and_what() {
        assert_eq!(
            message(b"{\n  \"a\": [1, 2"),
            "line 2, column 12: EOF while parsing a list: the file is cut off, or is no workflow"
        );
        assert_eq!(message(b"hello"), "line 1, column 1: expected value: the file is no JSON, or was damaged");
        assert_eq!(message(&[0xff, 0xfe, b'{', 0]), "line 1, column 1: the text is UTF-16: save the file as UTF-8");
        assert!(message(b"{\n\"\xff\xff").starts_with("line 2, column 2: neither JSON nor a picture"));
        assert_eq!(message(b" \n"), "line 1, column 1: the file is empty: give it a workflow");
        assert_eq!(parse("\u{feff}{}".as_bytes()).unwrap().0, json!({}));
    }

    #[test]
    fn depth_is_an_error_and_not_an_abort() {
        let deep = "[".repeat(100_000);
        assert_eq!(message(deep.as_bytes()), "line 1, column 128: nested deeper than 128 levels: no workflow is");
    }

    #[test]
    fn many_values_are_refused_before_they_take_memory() {
        let many = |count: usize| format!("[\"{}\\\"\"{}]", ",".repeat(1 << 21), ",{}".repeat(count));
        let refused = "the JSON has more than 2097152 values, which no workflow has: give the workflow itself";
        assert_eq!(message(many(1 << 20).as_bytes()), refused);
        assert!(parse(many(1000).as_bytes()).is_ok());
    }

    #[test]
    fn size_is_limited_before_parsing() {
        let large = vec![b' '; MAX_JSON + 1];
        assert!(message(&large).contains("67108865 bytes"));
    }
}
